"""When each definition of a job was in force: maybe, and for certain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from natsched.core.jobs import Spec
from natsched.core.planning import TICK, earlier, later
from natsched.core.schedules import jitter_of, next_due
from natsched.testing.changes import Change

NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """A definition that may have been in force from `asked` to `over`, and was for certain from `returned` to `ends`.

    Without a spec the job was removed.
    """

    job: str
    uid: str
    spec: Spec | None
    asked: datetime
    returned: datetime
    ends: datetime
    over: datetime

    def may_hold(self, since: datetime, until: datetime, slack: timedelta) -> bool:
        """Whether it may have been in force at some moment of that time."""
        return self.asked <= later(until, slack) and later(self.over, slack) >= since

    def is_active(self, at: datetime) -> bool:
        """Whether its definition has the job run then."""
        return self.spec is not None and self.spec.is_active(at)

    def has(self, due: datetime) -> bool:
        """Whether it is an instant of its schedule; any may be one of a fixed delay."""
        if self.spec is None:
            return False
        if self.spec.fixed_delay is not None:
            return self.spec.schedule.end_at is None or due <= self.spec.schedule.end_at
        return self.next(earlier(due, TICK)) == due

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant after `after`."""
        if self.spec is None:
            return None
        return next_due(self.spec.schedule, after, anchor=self.spec.anchor, salt=self.job)

    def start_of(self, due: datetime) -> datetime:
        """Return when a run of that instant starts."""
        return due if self.spec is None else later(due, jitter_of(self.spec.schedule, due, uid=self.uid))


def eras_of(changes: Iterable[Change]) -> Sequence[Era]:
    """Return the eras of one job, in the order in which their changes were asked for."""
    ordered = sorted(changes, key=lambda change: change.asked)
    eras = []
    for index, change in enumerate(ordered):
        others = [(other, _follows(ordered, at, index)) for at, other in enumerate(ordered) if at != index]
        ends = [other.asked for at, other in enumerate(ordered) if at != index and not _follows(ordered, index, at)]
        over = [other.returned or NEVER for other, follows in others if follows]
        eras.append(
            Era(
                job=change.job,
                uid=change.uid,
                spec=change.spec,
                asked=change.asked,
                returned=change.returned or NEVER,
                ends=min(ends, default=NEVER),
                over=min(over, default=NEVER),
            )
        )
    return eras


def _follows(ordered: Sequence[Change], later: int, before: int) -> bool:
    """Whether the one change was made after the other for certain."""
    one, other = ordered[later], ordered[before]
    if one.uid == other.uid and one.spec is not None and other.spec is not None:
        if one.spec.generation != other.spec.generation:
            return one.spec.generation > other.spec.generation
    elif one.uid == other.uid:
        return one.spec is None
    return other.returned is not None and one.asked >= other.returned and later > before
