"""What is known of a simulated history afterwards, and what it looks like to the checker."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from natsched.core.executions import ExecutionStatus, Record
from natsched.core.hints import Pending
from natsched.core.jobs import Job
from natsched.testing import Absence, Bounds, Change, End, History, LeftOut, Outage, Start, told_by
from tests.simulation.drawing import Step
from tests.simulation.server import Ledger, Written
from tests.virtual import EPOCH

_ENDS: Final = {
    "returns": ExecutionStatus.OK,
    "fails": ExecutionStatus.FAILED,
    "is cancelled": ExecutionStatus.INTERRUPTED,
}


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of a handler; `ended` is None where its replica died before."""

    job: str
    execution: str
    attempt: int
    due: datetime
    member: str
    fence: int
    started: datetime
    ended: datetime | None = None
    how: str = ""

    def __str__(self) -> str:
        return f"{self.execution} attempt {self.attempt}"


@dataclass(slots=True, kw_only=True)
class Asked:
    """A client's operation, from when it was asked to when it had its answer (None: no answer, or never)."""

    step: Step
    asked: datetime
    answered: datetime | None = None
    answer: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was done under the once lock, by whom, and from when to when."""

    member: str
    since: datetime
    until: datetime


@dataclass(slots=True)
class Journal:
    ledger: Ledger
    calls: list[Call] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    befallen: list[tuple[datetime, str, Step]] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    noted: dict[tuple[str, int], Record] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """What members say that must not be, such as a lease that was lost for no reason."""

    jobs: dict[str, Job] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    hints: list[Pending] = field(default_factory=list)
    ended: datetime = EPOCH

    def mishaps(self) -> Counter[str]:
        return Counter(step.what for _, _, step in self.befallen)

    def lines(self) -> list[str]:
        """Return the history as text, in the order of time."""
        return [f"{(at - EPOCH).total_seconds():8.3f} {text}" for at, text in sorted(self._told())]

    def _told(self) -> Iterator[tuple[datetime, str]]:
        for call in self.calls:
            due = (call.due - EPOCH).total_seconds()
            yield call.started, f"{call.member} begins {call}, due {due:.3f}, fence {call.fence}"
            if call.ended is not None:
                yield call.ended, f"{call.member} {call.how}: {call}"
        for one in self.asked:
            given = {name: value for name, value in one.step.given.items() if name != "job"}
            yield one.asked, f"{one.step.whom} {one.step.what} {one.step.given['job']} {given or ''}"
            if one.answered is not None:
                yield one.answered, f"{one.step.whom} {one.step.what} {one.step.given['job']}: {one.error or 'done'}"
        for at, whom, step in self.befallen:
            yield at, f"{whom} {step.what}{f' for {step.lasts:g} s' if step.lasts else ''}"
        for record in self.records:
            if record.started_at is None and record.ended_at is not None:
                yield (
                    record.ended_at,
                    f"{record.execution} is {record.status}: {record.number} to {record.due:%M:%S.%f}",
                )

    def history(self, bounds: Bounds) -> History:
        """Return all of it as the checker wants it."""
        claims = self.claims()
        records = {(record.execution, record.attempt): record for record in self.records}
        starts, ends = [], []
        for call in self.calls:
            which = call.execution, call.attempt
            claimed, generation = claims.get(which, (None, None))
            starts.append(
                Start(
                    job=call.job,
                    execution=call.execution,
                    attempt=call.attempt,
                    due=call.due,
                    at=call.started,
                    replica=call.member,
                    generation=generation,
                    claimed=claimed,
                )
            )
            if call.ended is not None:
                record = records.get(which) or self.noted.get(which)
                ends.append(
                    End(
                        job=call.job,
                        execution=call.execution,
                        attempt=call.attempt,
                        at=call.ended,
                        status=_ENDS[call.how] if record is None else record.status,
                        replica=call.member,
                        retry_at=None if record is None else record.retry_at,
                    )
                )
        return History(
            changes=tuple(self._changes()),
            starts=starts,
            ends=ends,
            left_out=[*told_by(self.records).left_out, *self._lost_without_trace(claims)],
            absences=self.absences,
            outages=self.outages,
            bounds=bounds,
            until=self.ended,
            recorded=any(one.job.spec.history != "all" for one in self.ledger.written if one.job is not None),
        )

    def _lost_without_trace(self, claims: Mapping[tuple[str, int], tuple[datetime, int]]) -> Iterator[LeftOut]:
        """Tell of runs that were claimed in a write that left no trace of them, and that never began."""
        begun = {call.execution for call in self.calls}
        for one in self.ledger.written:
            job, before = one.job, one.before
            if job is None or before is None or job.status.plan.by is None or job.status.last_due is None:
                continue
            execution = before.execution_id(before.status.plan.n)
            if execution not in begun:
                yield LeftOut(
                    job=job.id,
                    execution=execution,
                    first=job.status.last_due,
                    last=job.status.last_due,
                    status=ExecutionStatus.LOST,
                    at=claims[execution, 1][0],
                    attempt=1,
                )

    def _changes(self) -> Iterator[Change]:
        """Tell the changes of specs, each in force from the moment the server wrote it, whenever it was answered."""
        for one in self.ledger.written:
            job, before = one.job, one.before
            if job is not None and (before is None or before.uid != job.uid or before.spec != job.spec):
                yield Change.to(job, asked=self._asked_for(one), returned=one.at)
            elif job is None and before is not None:
                yield Change.away(before, asked=self._asked_for(one), returned=one.at)

    def _asked_for(self, write: Written) -> datetime:
        """Return when a client began to ask for the write: what it keeps from running is recorded before it."""
        return min(
            (
                one.asked
                for one in self.asked
                if (one.step.whom, one.step.given["job"]) == (write.by, write.stored.id)
                and one.asked <= write.at <= (one.answered or self.ended)
            ),
            default=write.at,
        )

    def claims(self) -> Mapping[tuple[str, int], tuple[datetime, int]]:
        """Return of each attempt when it was claimed, and by which definition."""
        return dict(self._claims())

    def _claims(self) -> Iterator[tuple[tuple[str, int], tuple[datetime, int]]]:
        """Tell when the server wrote that an attempt is somebody's, and by which definition."""
        for one in self.ledger.written:
            job, before = one.job, one.before
            if job is None:
                continue
            claim = one.at, job.spec.generation
            old = {} if before is None or before.uid != job.uid else before.status.running
            for execution, entry in job.status.running.items():
                if execution not in old or old[execution].attempt != entry.attempt:
                    yield (execution, entry.attempt), claim
            if job.status.plan.by is not None and before is not None:
                yield (before.execution_id(before.status.plan.n), 1), claim
