"""What a replica tells its observers: one event for each change of state, in the order they happen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from natsched.core.backlog import Backlog
from natsched.core.executions import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaimed:
    """An attempt is this replica's, to start at `start`; with `died` in place of a replica that died running it."""

    job: str
    execution: str
    attempt: int
    due: datetime
    start: datetime
    died: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A handler is about to be called; `lag` is seconds from the instant it was to start at."""

    job: str
    execution: str
    attempt: int
    due: datetime
    lag: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A handler returned, failed or was stopped."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLeftOut:
    """Runs that did not happen, with the reason in the record."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class HintDropped:
    """A hint was old or unreadable: nothing to do."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedBack:
    """A hint goes back to the queue for a while."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The reconciler hinted again or deleted a stray message."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A document cannot be read; it is left where it is."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A sweep went through all jobs; `backlogs` is of each queue that is served or has deliveries."""

    jobs: int
    repairs: int
    seconds: float
    backlogs: Mapping[str, Backlog]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost:
    """This replica could not prove that it was alive: what it ran is cancelled, and it starts anew."""

    lease: str
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDropped:
    """A status change is not sent to a webhook any more: it was tried for too long, or is outdated."""

    job: str
    id: str
    reason: str
    outdated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesDiffer:
    """Replicas work with different versions of the zone data: they may disagree on instants. By version: who."""

    replicas: Mapping[str, tuple[str, ...]]


Event: TypeAlias = (
    RunClaimed
    | RunStarted
    | RunEnded
    | RunLeftOut
    | HintDropped
    | HandedBack
    | Repaired
    | Quarantined
    | Swept
    | LeaseLost
    | NoticeDropped
    | ZonesDiffer
)
Observer: TypeAlias = Callable[[Event], None]
