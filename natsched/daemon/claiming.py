"""Winning a run and seeing it to its end: claim, hint the next plan, call the handler, record, finish, answer."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from natsched.clock import Clock
from natsched.core.decisions import Claim
from natsched.core.endings import holds
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.jobs import ExecutionId, Job, Stored
from natsched.core.planning import plan_hint
from natsched.core.takeovers import RUNNING_ELSEWHERE
from natsched.daemon.agenda import Held
from natsched.daemon.books import Books
from natsched.daemon.events import HandedBack, LeaseLost, Observer, RunEnded, RunLeftOut
from natsched.daemon.executing import Active, Executor, StopReason
from natsched.daemon.keeping import Keeper
from natsched.daemon.leasing import Leaseholder
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.slots import Slots
from natsched.errors import Conflict
from natsched.ports import Backend
from natsched.targets.finding import missing
from natsched.targets.registry import Handler

_NO_HANDLER: Final = timedelta(milliseconds=5)
_LONGEST_NO_HANDLER: Final = timedelta(seconds=2)
_SPILL: Final = timedelta(milliseconds=100)
_LONGEST_SPILL: Final = timedelta(seconds=5)


class Claimer:
    """Holds what this replica claims and runs. `active` tells what that is at this moment."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        options: ReplicaOptions,
        keeper: Keeper,
        leaseholder: Leaseholder,
        executor: Executor,
        books: Books,
        observe: Observer,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._options = options
        self._keeper = keeper
        self._leaseholder = leaseholder
        self._executor = executor
        self._books = books
        self._observe = observe
        self._slots = {name: Slots(number, clock) for name, number in options.queues.items()}
        self.active: Final[dict[ExecutionId, Active]] = {}
        leaseholder.lost = self._stop_for_lost_lease

    def has_slots(self, queue: str) -> bool:
        """Whether another execution of the queue could run here now."""
        return self._slots[queue].free > 0

    def stop(self, reason: StopReason) -> None:
        """Cancel what is running."""
        for active in list(self.active.values()):
            active.stop(reason)

    def abandon(self) -> None:
        """Give up what is still in its last writes: the next holder finds it."""
        for active in list(self.active.values()):
            active.abandon()

    async def claim(self, held: Held, stored: Stored, claim: Claim) -> bool:
        """Claim and run; False if the claim was lost and the hint is to be decided on again."""
        handler = self._executor.handler_of(claim.job)
        if handler is None:
            self._no_handler(held, claim.job)
            return True
        slots = self._slots[held.hint.queue]
        if not slots.take() and not await slots.acquire(self._patience(claim)):
            self._spill(held)
            return True
        if claim.execution in self.active:  # a doubled hint: token and lease are the same, so only one may try
            slots.release()
            self._keeper.nak(held, RUNNING_ELSEWHERE)
            return True
        task = asyncio.current_task()
        assert task is not None
        active = Active(claim.execution, self._leaseholder.lease, task)
        self.active[claim.execution] = active
        try:
            won = await self._win(stored, claim)
            if won is None:
                return False
            self._books.announce(claim, stored.job)
            await self._run(held, claim, active, handler, *won)
            return True
        finally:
            del self.active[claim.execution]
            slots.release()
            for follow in active.followers:
                follow()

    def _patience(self, claim: Claim) -> datetime:
        """Return until when a run waits for a place here."""
        return max(claim.start, self._clock.now()) + self._options.spill_after

    async def _win(self, stored: Stored, claim: Claim) -> tuple[Job, int] | None:
        """Write the claim; a lost one may be this very claim, whose answer was lost."""
        await self._books.keep(claim.job, *claim.records)
        try:
            revision = await self._books.write(claim.job, expected=stored.revision)
        except Conflict:
            return await self._own(claim)
        for record in claim.records:
            self._observe(RunLeftOut(record=record))
        return claim.job, revision

    async def _own(self, claim: Claim) -> tuple[Job, int] | None:
        """Return the document if the claim is in it."""
        entry = claim.running
        if claim.traceless or entry.lease is None:
            return None
        stored = await self._backend.jobs.read(claim.job.id)
        if isinstance(stored.job, Job) and holds(stored.job, claim.execution, token=entry.token, lease=entry.lease):
            return stored.job, stored.revision
        return None

    async def _run(self, held: Held, claim: Claim, active: Active, handler: Handler, job: Job, revision: int) -> None:
        if claim.rehint:
            await self._books.owe(plan_hint(job, revision))
        if job.spec.delivery == "at_most_once":
            self._keeper.ack(held)
        outcome = await self._executor.execute(active, handler, job, claim.running, claim.start)
        if outcome is None:
            self._keeper.leave(held)
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
            self._keeper.leave(held)
            return
        self._observe(RunEnded(record=record))
        if outcome.status is ExecutionStatus.INTERRUPTED:
            self._keeper.nak(held)
        else:
            self._keeper.ack(held)

    def _no_handler(self, held: Held, job: Job) -> None:
        self._observe(HandedBack(job=job.id, reason=missing(job.spec)))
        self._spill(held, first=_NO_HANDLER, longest=_LONGEST_NO_HANDLER)

    def _spill(self, held: Held, *, first: timedelta = _SPILL, longest: timedelta = _LONGEST_SPILL) -> None:
        """Hand back with a growing delay, so that an idle replica takes it."""
        grown = first * 2 ** min(held.delivery.attempts - 1, 10)
        self._keeper.nak(held, min(grown, longest))

    def _stop_for_lost_lease(self) -> None:
        self._observe(LeaseLost(lease=self._leaseholder.lease, running=len(self.active)))
        self.stop("lease lost")
