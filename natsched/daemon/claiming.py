"""Winning a run and seeing it to its end: claim, hint the next plan, call the handler, record, finish, answer."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from natsched.clock import Clock
from natsched.core.decisions import Claim
from natsched.core.endings import Outcome, holds
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.jobs import ExecutionId, Job, Running, Stored
from natsched.core.planning import plan_hint, start_of_running
from natsched.core.takeovers import RUNNING_ELSEWHERE
from natsched.daemon.agenda import Held
from natsched.daemon.books import Books
from natsched.daemon.condition import Places
from natsched.daemon.events import HandedBack, LeaseLost, Observer, RunClaimed, RunEnded, RunLeftOut
from natsched.daemon.executing import Active, Executor, StopReason
from natsched.daemon.keeping import Keeper
from natsched.daemon.leasing import Leaseholder
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.slots import Slots
from natsched.errors import Conflict
from natsched.logs import get_logger
from natsched.ports import Backend, Lock
from natsched.protocol.groups import Groups
from natsched.protocol.telling import tell_if_possible
from natsched.targets.finding import missing
from natsched.targets.registry import Handler

_JOINED: Final = 4096
"""How many executions are remembered, so that none that was claimed for this replica is run twice by it."""

_NO_HANDLER: Final = timedelta(milliseconds=5)
_LONGEST_NO_HANDLER: Final = timedelta(seconds=2)
_LONGEST_GROUP: Final = timedelta(seconds=1)
_SPILL: Final = timedelta(milliseconds=100)
_LONGEST_PATIENCE: Final = timedelta(seconds=5)


log = get_logger(__name__)


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
        self._groups = Groups(backend, clock)
        self._joined: dict[tuple[ExecutionId, int], None] = {}
        self.active: Final[dict[ExecutionId, Active]] = {}
        leaseholder.lost = self._stop_for_lost_lease

    def has_slots(self, queue: str) -> bool:
        """Whether another execution of the queue could run here now."""
        return self._slots[queue].free > 0

    def places(self) -> Mapping[str, Places]:
        """Return how the places of each queue are taken; a queue that is given up is there while it has runs."""
        return {
            name: Places(number=slots.number, taken=slots.number - slots.free, waiting=slots.waiting)
            for name, slots in self._slots.items()
            if name in self._options.queues or slots.free < slots.number
        }

    def resize(self, queues: Mapping[str, int]) -> None:
        """Have so many places for each queue; one that is not among them keeps its own for what is here of it."""
        for name, number in queues.items():
            if name in self._slots:
                self._slots[name].resize(number)
            else:
                self._slots[name] = Slots(number, self._clock)

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
            self._hand_back(held, claim.job, missing(claim.job.spec), first=_NO_HANDLER, longest=_LONGEST_NO_HANDLER)
            return True
        slots = self._slots[held.hint.queue]
        if not slots.take() and not await slots.acquire(self._patience(held, claim), claim.job.spec.priority):
            self._spill(held, first=_SPILL, longest=_SPILL)
            return True
        if claim.running.lease != self._leaseholder.lease:  # it was lost while this waited for a place
            slots.release()
            return False
        if not self._leaseholder.is_held():  # what is claimed under it would be another's at once
            slots.release()
            self._spill(held, first=_SPILL, longest=_SPILL)
            return True
        if claim.execution in self.active:  # a doubled hint: token and lease are the same, so only one may try
            slots.release()
            self._keeper.nak(held, RUNNING_ELSEWHERE)
            return True
        task = asyncio.current_task()
        assert task is not None
        active = self._begin(claim.job, claim.execution, claim.running, task)
        group = None
        try:
            if claim.job.spec.concurrency_key is not None and (group := await self._enter(claim)) is None:
                self._hand_back(held, claim.job, "another job of its group is running", longest=_LONGEST_GROUP)
                return True
            won = await self._win(stored, claim)
            if won is None:
                return False
            former = stored.job.status.running.get(claim.execution) if isinstance(stored.job, Job) else None
            self._books.announce(claim.job, claim.execution, claim.running, claim.start, former)
            self._tell_claim(claim.job, claim.execution, claim.running, claim.start, former)
            await self._run(held, claim, active, handler, *won)
            return True
        finally:
            self._end(active)
            slots.release()
            if group is not None:
                await self._groups.leave(group)

    async def _enter(self, claim: Claim) -> Lock | None:
        key, lease = claim.job.spec.concurrency_key, claim.running.lease
        assert key is not None
        assert lease is not None
        return await self._groups.enter(key, claim.job.id, claim.execution, lease)

    async def join(self, job: Job, revision: int, execution: ExecutionId) -> None:
        """Run what another replica claimed for this one, once; the document has it until it is finished."""
        entry = job.status.running[execution]
        if (execution, entry.token) in self._joined:
            return
        self._joined[execution, entry.token] = None
        if len(self._joined) > _JOINED:
            del self._joined[next(iter(self._joined))]
        slots, task = self._slots.get(job.spec.queue), asyncio.current_task()
        assert task is not None
        active = self._begin(job, execution, entry, task)
        if entry.cancel is not None:  # the word of it may have come as one with that of the part
            active.stop("cancelled", entry.cancel)
        start = start_of_running(job, entry)
        self._books.announce(job, execution, entry, start)
        self._tell_claim(job, execution, entry, start)
        try:
            if slots is not None:
                await slots.acquire(priority=job.spec.priority)
            try:
                await self._run_part(job, revision, active, entry, start)
            finally:
                if slots is not None:
                    slots.release()
        except Exception:
            log.exception("a part of a job could not be run", action="part_failed", job=job.id)
            if active.started_at is None or job.spec.delivery == "at_least_once":
                self._joined.pop((execution, entry.token), None)  # the sweep tells of it again
        finally:
            self._end(active)

    async def decline(self, job: Job, revision: int, execution: ExecutionId) -> None:
        """End or give back what another replica claimed for this one, which shuts down."""
        entry, task = job.status.running[execution], asyncio.current_task()
        assert task is not None
        active = self._executor.active(job, execution, entry, task)
        active.stop("shutdown")
        await self._run_part(job, revision, active, entry, start_of_running(job, entry))

    async def _run_part(self, job: Job, revision: int, active: Active, entry: Running, start: datetime) -> None:
        handler = self._executor.handler_of(job)
        outcome: Outcome | None
        if job.spec.queue not in self._slots:
            outcome = self._executor.failed(f"its replica does not serve the queue {job.spec.queue!r}")
        elif handler is None:
            outcome = self._executor.failed(missing(job.spec))
        else:
            outcome = await self._executor.execute(active, handler, job, entry, start)
        if outcome is None:
            return
        record = await self._books.end(
            job, revision, active.execution, entry, outcome, may_go_on=lambda: self._executor.may_go_on(active)
        )
        if record is not None:
            self._tell_end(active, record)

    def _begin(self, job: Job, execution: ExecutionId, entry: Running, task: asyncio.Task[None]) -> Active:
        active = self._executor.active(job, execution, entry, task)
        self.active[execution] = active
        return active

    def _end(self, active: Active) -> None:
        del self.active[active.execution]
        for follow in active.followers:
            follow()

    def _tell_claim(
        self, job: Job, execution: ExecutionId, entry: Running, start: datetime, former: Running | None = None
    ) -> None:
        self._observe(
            RunClaimed(
                job=job.id,
                execution=execution,
                attempt=entry.attempt,
                due=entry.due,
                start=start,
                died=former is not None and former.lease is not None,
            )
        )

    def _tell_end(self, active: Active, record: Record) -> None:
        self._observe(RunEnded(record=record))
        if record.status is ExecutionStatus.OK:
            active.control.forget()

    def _patience(self, held: Held, claim: Claim) -> datetime:
        """Return until when a run waits for a place here: longer each time that no other replica had one for it."""
        grown: timedelta = self._options.spill_after * int(4 ** min(held.delivery.attempts - 1, 10))
        return max(claim.start, self._clock.now()) + min(grown, _LONGEST_PATIENCE)

    async def _win(self, stored: Stored, claim: Claim) -> tuple[Job, int] | None:
        """Write the claim; a lost one may be this very claim, whose answer was lost.

        Records come before the claim that they belong to, and stay: so there are none of one that is lost already.
        """
        if claim.records and (await self._backend.jobs.read(claim.job.id)).revision != stored.revision:
            return await self._own(claim)
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
        if claim.tell:
            await tell_if_possible(self._backend.locks, claim.tell, job.id)
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
                awaited=bool(active.followers),
            )
        if record is None:
            self._keeper.leave(held)
            return
        self._tell_end(active, record)
        if outcome.status is ExecutionStatus.INTERRUPTED:
            self._keeper.nak(held)
        else:
            self._keeper.ack(held)

    def _hand_back(self, held: Held, job: Job, reason: str, *, longest: timedelta, first: timedelta = _SPILL) -> None:
        self._observe(HandedBack(job=job.id, reason=reason))
        self._spill(held, first=first, longest=longest)

    def _spill(self, held: Held, *, first: timedelta, longest: timedelta) -> None:
        """Hand back with a growing delay, so that an idle replica takes it."""
        grown = first * 2 ** min(held.delivery.attempts - 1, 10)
        self._keeper.nak(held, min(grown, longest))

    def _stop_for_lost_lease(self) -> None:
        self._observe(LeaseLost(lease=self._leaseholder.lease, running=len(self.active)))
        self.stop("lease lost")
