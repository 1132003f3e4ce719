"""What the checker finds."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """Which promise was broken."""

    LOST = "lost"
    """An instant that had to run has no run, and what is recorded of it, if anything, is no reason."""
    SILENT = "silent"
    """What did not run, or did not end, for a reason that may be good has no record that tells it."""
    DOUBLED = "doubled"
    """An instant or an execution ran again without an excuse."""
    EARLY = "early"
    """A run began before its instant."""
    LATE = "late"
    """A run began later than it could have."""
    OVERLAPPING = "overlapping"
    """A run began while as many went on as its job allows."""
    OUTDATED = "outdated"
    """A run of an old definition was claimed after its change had returned."""
    UNPLANNED = "unplanned"
    """A run of an instant that no definition of its job has, or beyond its `max_runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken promise; `text` says of which job and instant, and shows what speaks for it."""

    kind: Kind
    job: str
    due: datetime
    text: str
    execution: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.job}, due {self.due.isoformat()}: {self.text}"
