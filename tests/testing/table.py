"""A small way to write histories down: seconds after noon, a job every ten of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Interval
from natsched.testing import Absence, Bounds, Change, End, Finding, History, LeftOut, Outage, Start, check
from tests.factories import NOON, make_spec

OK = ExecutionStatus.OK
TENS = Interval(seconds=10)


def second(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def job(
    at: float = 0, *, took: float = 0, name: str = "a", uid: str = "A", returns: bool = True, **spec: Any
) -> Change:
    """The job is what `spec` says from then on, as far as anybody knows from `took` seconds later on."""
    changed = make_spec(**{"schedule": TENS, **spec})
    return Change(job=name, uid=uid, spec=changed, asked=second(at), returned=second(at + took) if returns else None)


def gone(at: float, *, took: float = 0, name: str = "a", uid: str = "A") -> Change:
    return Change(job=name, uid=uid, spec=None, asked=second(at), returned=second(at + took))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """An attempt; without `lasts` it was not seen to end."""

    n: int | str
    due: float
    at: float | None = None
    lasts: float | None = 1
    attempt: int = 1
    replica: str = "r1"
    status: ExecutionStatus = OK
    job: str = "a"
    uid: str = "A"
    generation: int | None = None
    claimed: float | None = None
    retry_at: float | None = None

    @property
    def begun(self) -> float:
        return self.due if self.at is None else self.at

    def start(self) -> Start:
        return Start(
            job=self.job,
            execution=f"{self.uid}-{self.n}",
            attempt=self.attempt,
            due=second(self.due),
            at=second(self.begun),
            replica=self.replica,
            generation=self.generation,
            claimed=None if self.claimed is None else second(self.claimed),
        )

    def end(self) -> Sequence[End]:
        if self.lasts is None:
            return ()
        end = End(
            job=self.job,
            execution=f"{self.uid}-{self.n}",
            attempt=self.attempt,
            at=second(self.begun + self.lasts),
            status=self.status,
            replica=self.replica,
            retry_at=None if self.retry_at is None else second(self.retry_at),
        )
        return (end,)


def left(n: int | str, first: float, last: float, status: str, at: float, number: int = 1, **more: Any) -> LeftOut:
    """The record of instants that did not run."""
    return LeftOut(
        job="a",
        execution=f"A-{n}",
        first=second(first),
        last=second(last),
        status=ExecutionStatus(status),
        at=second(at),
        number=number,
        **more,
    )


def dead(at: float, replica: str = "r1", back: float | None = None, *, frozen: bool = True) -> Absence:
    return Absence(replica=replica, at=second(at), back=None if back is None else second(back), frozen=frozen)


def away(at: float, back: float) -> Outage:
    return Outage(at=second(at), back=second(back))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A history and what is to be found in it: kinds and instants, such as `lost 20`."""

    name: str
    jobs: Sequence[Change] = (job(),)
    ran: Sequence[Ran] = ()
    left: Sequence[LeftOut] = ()
    dead: Sequence[Absence] = ()
    away: Sequence[Outage] = ()
    until: float = 25
    since: float | None = None
    bounds: Bounds = field(default_factory=Bounds)
    recorded: bool = False
    finds: Sequence[str] = ()

    def history(self) -> History:
        return History(
            changes=self.jobs,
            starts=[run.start() for run in self.ran],
            ends=[end for run in self.ran for end in run.end()],
            left_out=self.left,
            absences=self.dead,
            outages=self.away,
            bounds=self.bounds,
            since=None if self.since is None else second(self.since),
            until=second(self.until),
            recorded=self.recorded,
        )

    def found(self) -> list[str]:
        return sorted({_told(finding) for finding in check(self.history())})


def _told(finding: Finding) -> str:
    return f"{finding.kind} {(finding.due - NOON).total_seconds():g}"
