"""What is delivered and not yet done with, by queue."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from natsched.core.hints import Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is due in a queue and not yet ended: how many, and how many seconds ago the oldest was to start."""

    number: int = 0
    oldest: float = 0.0


def backlogs(deliveries: Iterable[Pending], now: datetime) -> dict[str, Backlog]:
    """Return the backlog of each queue that has deliveries."""
    found: dict[str, Backlog] = {}
    for pending in deliveries:
        if pending.hint is not None:
            before = found.get(pending.hint.queue, Backlog())
            age = (now - pending.hint.start).total_seconds()
            found[pending.hint.queue] = Backlog(number=before.number + 1, oldest=max(before.oldest, age))
    return found
