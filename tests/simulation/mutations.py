"""Rules of the protocol, each switched off: what the simulation is to notice."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from unittest import mock

from natsched.core import deciding, takeovers
from natsched.core.decisions import Claim, Drop
from natsched.core.endings import Outcome, record_of
from natsched.core.executions import Record
from natsched.core.facts import Facts
from natsched.core.hints import Hint, PlanHint
from natsched.core.jobs import ExecutionId, Job, Running
from natsched.core.schedules import Interval
from natsched.daemon import books, dispatching, executing
from natsched.daemon.books import Books
from natsched.daemon.reconciling import Reconciler
from natsched.errors import Conflict, Unavailable
from natsched.memory.hints import MemoryHints
from natsched.memory.jobs import MemoryJobs
from natsched.protocol import operations
from natsched.protocol.groups import Groups
from natsched.protocol.hinting import Hinter
from natsched.protocol.once import _Once
from tests.simulation.drawing import TROUBLES, Drawn, Step, draw
from tests.simulation.replicas import MemberClock

SwitchedOff = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """How a rule is switched off, and a drawing whose history that breaks: its seed, and what it is to have."""

    switched_off: SwitchedOff
    seed: int
    kinds: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    provisioned: bool = True
    steps: tuple[Step, ...] = ()
    """Written by hand where what is drawn hardly ever comes to it; then the seed does not matter."""

    def draw(self, seed: int) -> Drawn:
        if self.steps:
            return Drawn(seed=seed, trouble=40.0, steps=self.steps)
        drawn = draw(seed, kinds=self.kinds, options=self.options)
        return drawn if self.provisioned else replace(drawn, provisioned=False)


@contextmanager
def plan_number_ignored() -> Iterator[None]:
    """A hint counts whatever plan it is of."""
    decide = deciding.decide

    def careless(hint: Hint, facts: Facts) -> Any:
        job = facts.stored.job
        if isinstance(hint, PlanHint) and isinstance(job, Job) and hint.uid == job.uid:
            hint = replace(hint, n=job.status.plan.n)
        return decide(hint, facts)

    with mock.patch.object(dispatching, "decide", careless):
        yield


@contextmanager
def revision_ignored() -> Iterator[None]:
    """A document is written over whatever was written since it was read."""
    write = MemoryJobs.write

    async def careless(self: MemoryJobs, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        last = await self.read(job.id)
        return await write(self, job, expected=last.revision, ttl=ttl)

    with mock.patch.object(MemoryJobs, "write", careless):
        yield


def old_reads_believed() -> AbstractContextManager[object]:
    """A hint is dropped also on a read that may be older than the hint."""
    return mock.patch.object(deciding, "_may_be_older", return_value=False)


def leases_ignored() -> AbstractContextManager[object]:
    """Every lease counts as over."""

    async def over(locks: object, lease: object) -> bool:
        return False

    return mock.patch.object(dispatching, "is_alive", over)


def lease_not_looked_at() -> AbstractContextManager[object]:
    """A replica goes on with what it has, however long it was away."""
    return mock.patch.object(executing.Executor, "may_go_on", return_value=True)


def overlap_ignored_at_takeovers() -> AbstractContextManager[object]:
    """What died is taken over beside whatever runs by now."""
    return mock.patch.object(takeovers, "is_full", return_value=False)


def overlap_ignored() -> AbstractContextManager[object]:
    """A run is claimed beside whatever runs."""
    return mock.patch.object(deciding, "is_full", return_value=False)


def dead_executions_left() -> AbstractContextManager[object]:
    """Nobody looks for what the dead were running."""
    return mock.patch.object(takeovers, "_take_over", return_value=Drop(reason="left"))


def debts_forgotten() -> AbstractContextManager[object]:
    """No reconciler: a hint that is lost stays lost."""

    async def nothing(self: Reconciler) -> None:
        while True:
            await self._clock.sleep(3600)

    return mock.patch.object(Reconciler, "run", nothing)


@contextmanager
def token_ignored() -> Iterator[None]:
    """Whoever ran an execution finishes it, also when another has taken it over, and runs on without a lease."""

    def anybodys(job: Job, execution: ExecutionId, *, token: int, lease: object) -> bool:
        return execution in job.status.running

    with (
        mock.patch.object(books, "holds", anybodys),
        mock.patch.object(executing.Executor, "may_go_on", return_value=True),
    ):
        yield


def record_after_document() -> AbstractContextManager[object]:
    """The record of an end is created once the document is written."""

    async def late(
        self: Books,
        job: Job,
        revision: int,
        execution: ExecutionId,
        entry: Running,
        outcome: Outcome,
        *,
        may_go_on: Callable[[], bool],
        awaited: bool = False,
    ) -> Record | None:
        record = record_of(job, execution, entry, outcome, replica=self._options.name)
        while may_go_on():
            try:
                if await self._finish(job, revision, execution, entry, outcome) is None:
                    return None
                await self.keep(job, record)
                return record
            except Unavailable:
                continue
        return None

    return mock.patch.object(Books, "end", late)


@contextmanager
def finish_without_document() -> Iterator[None]:
    """A hint is acknowledged as soon as its execution is recorded, and the document left as it is."""

    async def unwritten(self: Books, job: Job, revision: int, *args: Any) -> Any:
        return job, job, revision

    with mock.patch.object(Books, "_finish", unwritten):
        yield


@contextmanager
def newer_hints_replaced() -> Iterator[None]:
    """A hint takes the place of whatever lies there; with it an old one that of a newer one."""

    async def careless(self: Hinter, hint: Hint) -> None:
        at = hint.start - self._lead
        expected = 0
        for _ in range(20):
            try:
                await self._stream.schedule(hint, at, expected=expected)
            except Conflict:
                (found,) = await self._stream.scheduled([hint])
                expected = 0 if found is None else found.seq
            else:
                return

    with mock.patch.object(Hinter, "_schedule", careless):
        yield


def repairs_with_an_id() -> AbstractContextManager[object]:
    """A repair goes straight among the deliveries, where the server's window may swallow it."""

    async def careless(self: Hinter, hint: Hint) -> None:
        await self._stream.deliver(hint)

    return mock.patch.object(Hinter, "repair", careless)


@contextmanager
def schedules_deleted_by_subject() -> Iterator[None]:
    """What is deleted is whatever lies there by now."""
    delete, read, subjects = MemoryHints.delete, MemoryHints._pending, dict[int, str]()

    def note(self: MemoryHints, subject: str) -> Any:
        found = read(self, subject)
        if found is not None:
            subjects[found.seq] = subject
        return found

    async def careless(self: MemoryHints, seq: int) -> None:
        last = self._stream.last(subjects[seq]) if seq in subjects else None
        await delete(self, seq if last is None else last.seq)

    with mock.patch.object(MemoryHints, "_pending", note), mock.patch.object(MemoryHints, "delete", careless):
        yield


def wall_clock_believed() -> AbstractContextManager[object]:
    """A replica goes by its machine's clock."""
    return mock.patch.object(MemberClock, "follow", return_value=None)


def groups_free() -> AbstractContextManager[object]:
    """A group counts as free whoever holds it."""

    async def free(self: Groups, holder: object, now: datetime) -> bool:
        return False

    return mock.patch.object(Groups, "_is_held", free)


def keys_free() -> AbstractContextManager[object]:
    """A job may be submitted under a key that was taken."""

    @asynccontextmanager
    async def free(*args: object, **options: object) -> AsyncGenerator[None, None]:
        yield

    return mock.patch.object(operations, "unique", free)


def once_lock_left() -> AbstractContextManager[object]:
    """Nobody holds on to the once lock while it works, nor stops when it is lost."""

    async def never(self: _Once) -> Any:
        while True:
            await self._clock.sleep(3600)

    return mock.patch.multiple(_Once, _renew=never, _expire=never)


def crashes_uncounted() -> AbstractContextManager[object]:
    """What runs at most once is taken over like all else."""
    take_over = takeovers._take_over

    def again(job: Job, execution: ExecutionId, facts: Facts) -> Any:
        entry = replace(job.status.running[execution], once=False)
        running: Mapping[ExecutionId, Running] = {**job.status.running, execution: entry}
        spec = replace(job.spec, delivery="at_least_once")
        status = replace(job.status, running=running)
        decision = take_over(replace(job, spec=spec, status=status), execution, facts)
        return (
            replace(decision, job=replace(decision.job, spec=job.spec)) if isinstance(decision, Claim) else decision
        )

    return mock.patch.object(takeovers, "_take_over", again)


def _ensured(at: float, seconds: float, whom: str = "c2", max_runs: int | None = None, **options: Any) -> Step:
    options = {"metadata": {"version": 1, "lasts": 0.0, "fails": ""}, **options}
    given = {"job": "j0", "schedule": Interval(seconds=seconds, max_runs=max_runs), "options": options}
    return Step(what="ensures", whom=whom, at=at, given=given)


LATE_HINT: Final = (
    _ensured(1.0, 6.0),
    _ensured(32.2, 3.0, "c1"),
    Step(what="question slow", whom="c1", nth=3, lasts=0.5),  # its hint, which finds that of the next change there
    _ensured(32.3, 11.0),
)
LATE_DELETION: Final = (
    _ensured(1.0, 6.0),
    Step(what="pauses", whom="c1", at=9.0, given={"job": "j0", "until": None}),
    Step(what="question slow", whom="c1", nth=4, lasts=0.5),  # the deletion of the schedule that it left
    Step(what="resumes", whom="c2", at=9.1, given={"job": "j0"}),
)
LOST_PART: Final = (
    _ensured(2.1, 3.0, max_runs=1, scope="all"),
    Step(what="dies", whom="r3", at=3.0, lasts=0.5),  # its part is lost, as a repair finds
    Step(what="retries", whom="c1", at=20.0, given={"job": "j0"}),  # its hint has that repair's id
)

MUTATIONS: Final[Mapping[str, Mutation]] = {
    "the plan number": Mutation(plan_number_ignored, 0),
    "the revision of a write": Mutation(revision_ignored, 0),
    "reading again from the leader": Mutation(old_reads_believed, 52),
    "the leases of others": Mutation(leases_ignored, 0),
    "the own lease": Mutation(lease_not_looked_at, 146, tuple(TROUBLES)),
    "overlap at a takeover": Mutation(overlap_ignored_at_takeovers, 70),
    "overlap at a claim": Mutation(overlap_ignored, 0),
    "taking over": Mutation(dead_executions_left, 0),
    "the reconciler": Mutation(debts_forgotten, 0),
    "the token at the finish": Mutation(token_ignored, 156),
    "the record before the document": Mutation(record_after_document, 10),
    "the document before the acknowledgement": Mutation(finish_without_document, 0),
    "never replacing a newer hint": Mutation(newer_hints_replaced, 0, steps=LATE_HINT),
    "repairs without a message id": Mutation(repairs_with_an_id, 0, steps=LOST_PART),
    "deleting schedules by sequence": Mutation(schedules_deleted_by_subject, 0, steps=LATE_DELETION),
    "the server's clock": Mutation(wall_clock_believed, 0),
    "one at a time of a group": Mutation(groups_free, 0, (), {"concurrency_key": "g"}),
    "a key for one job": Mutation(keys_free, 4),
    "the once lock": Mutation(once_lock_left, 0, (), provisioned=False),
    "at most once": Mutation(crashes_uncounted, 1, ("deaths",), {"delivery": "at_most_once", "overlap": "skip"}),
}
"""By the rule that is switched off."""
