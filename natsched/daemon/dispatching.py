"""From a hint that is due to a run that is finished.

Theory of operation. A delivery is held in the agenda until just before its start. Then the documents of all
that start within the next moments are read in one request, and each hint is decided on purely; the decision
is done as it says, which for most hints means: claim by compare-and-set, hint the next plan, wait for the
instant, run, record, finish, acknowledge. Each hint is a task of its own from here on, so the requests of
many are under way at once while those of one stay in order. A lost compare-and-set leads back to a read from
the leader and a new decision; an outage leads back to the queue. The tasks are asyncio's own: starting one
costs a seventh of what it costs in anyio's group, which would be a tenth of a run.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from natsched.clock import Clock
from natsched.core.deciding import RUNNING_ELSEWHERE, Facts, decide
from natsched.core.decisions import (
    AskLeases,
    AskRecord,
    Claim,
    Decision,
    Drop,
    HandBack,
    ReadAgain,
    Settle,
    Wait,
)
from natsched.core.endings import holds
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Stored, Unreadable
from natsched.daemon.agenda import Agenda, Held
from natsched.daemon.books import Books
from natsched.daemon.events import (
    HandedBack,
    HintDropped,
    LeaseLost,
    Observer,
    Quarantined,
    RunEnded,
    RunLeftOut,
)
from natsched.daemon.executing import Active, Executor, StopReason
from natsched.daemon.keeping import Keeper
from natsched.daemon.leasing import Leaseholder, is_alive
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.slots import Slots
from natsched.errors import BackendError, Conflict, Unavailable
from natsched.logs import get_logger
from natsched.ports import Backend
from natsched.targets.registry import Handler

_OUTAGE_PAUSE: Final = timedelta(seconds=1)
_NO_HANDLER: Final = timedelta(milliseconds=5)
_LONGEST_NO_HANDLER: Final = timedelta(seconds=2)
_SPILL: Final = timedelta(milliseconds=100)
_LONGEST_SPILL: Final = timedelta(seconds=5)

log = get_logger(__name__)


@dataclass(slots=True)
class Look:
    """What is known of one hint while it is decided on; it grows until the decision is not a question."""

    stored: Stored
    authoritative: bool = False
    leases: Mapping[LeaseId, bool] | None = None
    record: Record | None = None
    record_known: bool = False


class Dispatcher:
    """Takes hints from the agenda and sees each to its end."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        options: ReplicaOptions,
        agenda: Agenda,
        keeper: Keeper,
        leaseholder: Leaseholder,
        executor: Executor,
        observe: Observer,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._options = options
        self._agenda = agenda
        self._keeper = keeper
        self._leaseholder = leaseholder
        self._executor = executor
        self._observe = observe
        self._books = Books(backend, clock, options)
        self._slots = {name: Slots(number, clock) for name, number in options.queues.items()}
        self._active: dict[ExecutionId, Active] = {}
        self._draining = False
        leaseholder.lost = self.stop_for_lost_lease

    @property
    def active(self) -> int:
        """How many executions are claimed or running here."""
        return len(self._active)

    def has_slots(self, queue: str) -> bool:
        """Whether another execution of the queue could run here now."""
        return self._slots[queue].free > 0

    async def pay_debts(self) -> None:
        """Publish, for ever, the hints that could not be published at once."""
        await self._books.debts.run()

    async def run(self, runs: asyncio.TaskGroup) -> None:
        """Dispatch for ever; the runs are tasks of `runs`, which outlives this."""
        while True:
            batch = await self._agenda.due()
            runs.create_task(self._begin(batch, runs), name="read a batch of jobs")

    def drain(self) -> None:
        """Claim nothing more and hand back what is held."""
        self._draining = True
        for held in self._agenda.empty():
            self._nak(held, None)

    def stop(self, reason: StopReason) -> None:
        """Cancel what is running."""
        for active in list(self._active.values()):
            active.stop(reason)

    def abandon(self) -> None:
        """Give up what is still in its last writes: the next holder finds it."""
        for active in list(self._active.values()):
            active.abandon()

    def stop_for_lost_lease(self) -> None:
        self._observe(LeaseLost(lease=self._leaseholder.lease, running=self.active))
        self.stop("lease lost")

    async def _begin(self, helds: list[Held], runs: asyncio.TaskGroup) -> None:
        unknown: list[Held] = []
        for held in helds:
            recalled = self._books.recall.of(held.hint)
            if recalled is None:
                unknown.append(held)
            else:
                runs.create_task(self._handle(held, recalled), name=held.hint.job)
        if not unknown:
            return
        ids: list[JobId] = list({held.hint.job: None for held in unknown})
        try:
            found = await self._backend.jobs.read_many(ids)
        except BackendError as error:
            log.warning("the jobs could not be read; trying again", action="read_failed", error=str(error))
            again = self._clock.now() + _OUTAGE_PAUSE
            for held in unknown:
                self._agenda.add(held, again)
            return
        for held in unknown:
            runs.create_task(self._handle(held, found[held.hint.job]), name=held.hint.job)

    async def _handle(self, held: Held, stored: Stored) -> None:
        """See one hint to its end; whatever goes wrong is this hint's alone, and it comes again."""
        try:
            await self._see_through(held, Look(stored))
        except Unavailable as error:
            log.warning("no answer; the hint goes back", action="outage", job=held.hint.job, error=str(error))
            self._nak(held, _OUTAGE_PAUSE)
        except Exception:
            log.exception("a hint could not be handled; it goes back", action="hint_failed", job=held.hint.job)
            self._nak(held, _OUTAGE_PAUSE)

    async def _see_through(self, held: Held, look: Look) -> None:
        while True:
            if self._draining:
                self._nak(held, None)
                return
            decision = decide(held.hint, self._facts(held, look))
            match decision:
                case Claim():
                    if await self._claim(held, look, decision):
                        return
                case Settle():
                    if await self._settle(held, look, decision):
                        return
                case HandBack(delay=delay, reason=reason):
                    self._observe(HandedBack(job=held.hint.job, reason=reason))
                    self._nak(held, delay)
                    return
                case Drop(reason=reason):
                    self._drop(held, look, reason)
                    return
                case Wait(until=until):
                    self._agenda.add(held, until)
                    return
                case ReadAgain() | AskLeases() | AskRecord():
                    await self._learn(held, look, decision)
                case other:
                    assert_never(other)

    def _facts(self, held: Held, look: Look) -> Facts:
        return Facts(
            now=self._clock.now(),
            stored=look.stored,
            lease=self._leaseholder.lease,
            authoritative=look.authoritative,
            mine=self._active,
            leases=look.leases or {},
            record=look.record,
            record_known=look.record_known,
            delivery=held.delivery.seq,
            deliveries=held.delivery.attempts,
        )

    async def _learn(self, held: Held, look: Look, question: Decision) -> None:
        match question:
            case AskLeases(leases=leases):
                answers = {lease: await is_alive(self._backend.locks, lease) for lease in leases}
                look.leases = {**(look.leases or {}), **answers}
            case AskRecord(execution=execution, attempt=attempt):
                look.record = await self._backend.history.get(held.hint.job, execution, attempt)
                look.record_known = True
            case _:
                await self._read_again(held, look)

    async def _read_again(self, held: Held, look: Look) -> None:
        look.stored = await self._backend.jobs.read(held.hint.job)
        look.authoritative = True
        look.record_known = False
        look.leases = None

    async def _claim(self, held: Held, look: Look, claim: Claim) -> bool:
        """Claim and run; False if the claim was lost and the hint is to be decided on again."""
        handler = self._executor.handler_of(claim.job)
        if handler is None:
            self._no_handler(held, claim.job)
            return True
        slots = self._slots[held.hint.queue]
        if not await slots.acquire(max(claim.start, self._clock.now()) + self._options.spill_after):
            self._spill(held)
            return True
        if claim.execution in self._active:  # a doubled hint: token and lease are the same, so only one may try
            slots.release()
            self._nak(held, RUNNING_ELSEWHERE)
            return True
        active = Active(claim.execution, self._leaseholder.lease, asyncio.current_task())
        self._active[claim.execution] = active
        try:
            won = await self._win(look, claim)
            if won is None:
                await self._read_again(held, look)
                return False
            await self._run(held, claim, active, handler, *won)
            return True
        finally:
            del self._active[claim.execution]
            slots.release()

    async def _win(self, look: Look, claim: Claim) -> tuple[Job, int] | None:
        """Write the claim; a lost one may be this very claim, whose answer was lost."""
        await self._books.keep(*claim.records)
        try:
            revision = await self._books.write(claim.job, expected=look.stored.revision)
        except Conflict:
            stored = await self._backend.jobs.read(claim.job.id)
            entry = claim.running
            if (
                claim.traceless
                or not isinstance(stored.job, Job)
                or entry.lease is None
                or not holds(stored.job, claim.execution, token=entry.token, lease=entry.lease)
            ):
                return None
            return stored.job, stored.revision
        for record in claim.records:
            self._observe(RunLeftOut(record=record))
        return claim.job, revision

    async def _run(self, held: Held, claim: Claim, active: Active, handler: Handler, job: Job, revision: int) -> None:
        if claim.rehint:
            await self._books.owe(job, revision)
        at_most_once = job.spec.delivery == "at_most_once"
        if at_most_once:
            self._ack(held)
        outcome = await self._executor.execute(active, handler, job, claim.running, claim.start)
        if outcome is None:
            self._leave(held)
            return
        record: Record | None
        if claim.traceless:
            record = await self._books.note(job, claim.execution, claim.running, outcome)
        else:
            record = await self._books.end(
                job,
                revision,
                claim.execution,
                claim.running,
                outcome,
                may_go_on=lambda: self._executor.may_go_on(active),
            )
        if record is None:
            self._leave(held)
            return
        self._observe(RunEnded(record=record))
        if outcome.status is ExecutionStatus.INTERRUPTED:
            self._nak(held, None)
        else:
            self._ack(held)

    async def _settle(self, held: Held, look: Look, settle: Settle) -> bool:
        await self._books.keep(*settle.records)
        try:
            revision = await self._books.write(settle.job, expected=look.stored.revision)
        except Conflict:
            await self._read_again(held, look)
            return False
        for record in settle.records:
            self._observe(RunLeftOut(record=record))
        await self._books.owe(settle.job, revision)
        self._ack(held)
        return True

    def _drop(self, held: Held, look: Look, reason: str) -> None:
        if isinstance(look.stored.job, Unreadable):
            self._observe(Quarantined(job=held.hint.job, reason=look.stored.job.reason))
        self._observe(HintDropped(job=held.hint.job, reason=reason))
        self._ack(held)

    def _no_handler(self, held: Held, job: Job) -> None:
        name = job.spec.handler
        reason = f"no handler {name!r} here" if name else "no default handler here"
        self._observe(HandedBack(job=job.id, reason=reason))
        self._spill(held, first=_NO_HANDLER, longest=_LONGEST_NO_HANDLER)

    def _spill(self, held: Held, *, first: timedelta = _SPILL, longest: timedelta = _LONGEST_SPILL) -> None:
        """Hand back with a growing delay, so that an idle replica takes it."""
        grown = first * 2 ** min(held.delivery.attempts - 1, 10)
        self._nak(held, min(grown, longest))

    def _ack(self, held: Held) -> None:
        if self._keeper.let_go(held):
            held.delivery.ack()

    def _nak(self, held: Held, delay: timedelta | None) -> None:
        if self._keeper.let_go(held):
            held.delivery.nak(delay)

    def _leave(self, held: Held) -> None:
        """Say nothing: the delivery comes again by itself."""
        self._keeper.let_go(held)
