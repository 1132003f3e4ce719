"""The reconciler: compares documents with messages and hints again what slipped.

Any number of replicas may run it; a lock makes it one at a time, and two would be harmless. A sweep goes
through the documents in chunks, in turns with what fires, and memory stays at one chunk. When a replica's
lease ends it does not wait for the next sweep: it looks through what is delivered and not yet acknowledged, and
hints again what is overdue or abandoned.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.backlog import Backlog, backlogs
from natsched.core.chains import After
from natsched.core.hints import Hint, Pending, RunHint
from natsched.core.jobs import Job, Stored, Unreadable
from natsched.core.sweeping import (
    Delete,
    Rehint,
    Repair,
    Sight,
    Tell,
    abandoned,
    inspect,
    inspect_schedule,
    is_scheduled,
    overdue,
    untold,
)
from natsched.daemon.events import Observer, Quarantined, Repaired, Swept, ZonesDiffer
from natsched.daemon.leasing import Leaseholder
from natsched.daemon.options import ReplicaOptions
from natsched.errors import BackendError, Conflict, LockLost, Unavailable
from natsched.logs import get_logger
from natsched.ports import Backend, Lock
from natsched.protocol.chaining import Chains
from natsched.protocol.hinting import Hinter
from natsched.protocol.leases import PRIMARY, living, zone_data
from natsched.protocol.telling import LEASES, tell
from natsched.turns import in_turns

CHUNK: Final = 64
_TOGETHER: Final = 1024
"""How many findings are confirmed together: each time all that is delivered is read."""

_RENEW_AT: Final = 0.3
_SCHEDULES_EVERY: Final = 10
"""Stray schedules are harmless, they fire and are dropped: one sweep in ten looks for them."""

log = get_logger(__name__)


class Reconciler:
    """Repairs; `sweep` is one pass, `revive` what the end of a lease asks for, `run` both for ever."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        options: ReplicaOptions,
        leaseholder: Leaseholder,
        chains: Chains,
        observe: Observer,
    ) -> None:
        self._leaseholder = leaseholder
        self._chains = chains
        self._ttl = options.reconciler_ttl
        self.is_primary = False
        self._backend = backend
        self._clock = clock
        self._options = options
        self._observe = observe
        self._hinter = Hinter(backend.hints, clock, lead=options.lead)
        self._suspects: dict[str, datetime] = {}
        self._sweeps = 0

    async def run(self) -> None:
        """Reconcile whenever this replica holds the lock, for ever."""
        while True:
            try:
                lock = await self._backend.locks.create(PRIMARY, self._value(), ttl=self._ttl)
            except BackendError:
                await self._clock.sleep(self._ttl.total_seconds() / 2)
                continue
            try:
                await self._hold(lock)
            except* (BackendError, LockLost) as group:
                log.info("the reconciler stops here", action="reconciler_stopped", error=str(group.exceptions[0]))

    async def _hold(self, lock: Lock) -> None:
        holding = [lock]
        self.is_primary = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._renew, holding, name="renew the reconciler's lock")
                tasks.start_soon(self._follow_leases, name="follow the leases")
                await self._sweep_for_ever()
        finally:
            self.is_primary = False
            with anyio.move_on_after(1, shield=True):
                try:
                    await self._backend.locks.release(holding[0])
                except BackendError:
                    log.debug("the reconciler's lock ends by itself", action="reconciler_lock_left")

    async def _renew(self, holding: list[Lock]) -> None:
        until = self._clock.monotonic() + self._ttl.total_seconds()
        while True:
            await self._clock.sleep(self._ttl.total_seconds() * _RENEW_AT)
            sent = self._clock.monotonic()
            try:
                holding[0] = await self._backend.locks.renew(holding[0], self._value(), ttl=self._ttl)
            except Conflict as error:
                raise LockLost("another replica reconciles now") from error
            except BackendError:
                if self._clock.monotonic() > until:
                    raise
                continue
            until = sent + self._ttl.total_seconds()

    def _value(self) -> bytes:
        return self._leaseholder.lease.encode()

    async def _sweep_for_ever(self) -> None:
        await self.revive()
        while True:
            try:
                await self.sweep()
            except BackendError as error:
                log.warning("a sweep was cut short", action="sweep_failed", error=str(error))
            await self._clock.sleep(self._options.reconciler_interval.total_seconds())

    async def _follow_leases(self) -> None:
        async with self._backend.locks.endings(LEASES) as endings:
            async for key in endings:
                log.info("a lease ended", action="lease_ended", lease=key or "(unknown)")
                try:
                    await self.revive()
                except BackendError as error:
                    log.warning("a lease's work waits for the sweep", action="revive_failed", error=str(error))

    async def sweep(self) -> Swept:
        """Go through all jobs once, and now and then through the schedules."""
        started = self._clock.monotonic()
        self._sweeps += 1
        jobs = repairs = 0
        found: list[Repair] = []
        seen: dict[str, datetime] = {}
        async with self._backend.jobs.walk(chunk=CHUNK) as chunks:
            async for chunk in chunks:
                jobs += len(chunk)
                found += self._missing(await self._inspect_chunk(chunk), seen)
                if len(found) >= _TOGETHER:
                    repairs += await self._repair(await self._absent(found))
                    found = []
        repairs += await self._repair(await self._absent(found))
        self._suspects = seen
        await self._compare_zone_data()
        if self._sweeps % _SCHEDULES_EVERY == 0:
            repairs += await self._sweep_schedules()
        waiting = dict.fromkeys(self._options.queues, Backlog())
        waiting |= backlogs(await self._backend.hints.deliveries(), self._clock.now())
        seconds = self._clock.monotonic() - started
        swept = Swept(jobs=jobs, repairs=repairs, seconds=seconds, backlogs=waiting)
        self._observe(swept)
        return swept

    async def _compare_zone_data(self) -> None:
        found = await zone_data(self._backend.locks)
        if len(found) > 1:
            log.warning("replicas differ in their zone data: install one version of tzdata", action="zones_differ")
            self._observe(ZonesDiffer(replicas=found))

    async def _inspect_chunk(self, chunk: Sequence[Stored]) -> list[Repair]:
        now = self._clock.now()
        for stored in chunk:
            if isinstance(stored.job, Unreadable):
                self._observe(Quarantined(job=stored.id, reason=stored.job.reason))
        await self._restore_chains(chunk)
        readable = [stored for stored in chunk if isinstance(stored.job, Job)]
        scheduled = await self._backend.hints.scheduled_of([stored.id for stored in readable])
        running = any(stored.job.status.running for stored in readable if isinstance(stored.job, Job))
        live = await living(self._backend.locks) if running else frozenset()
        sight = Sight(now=now, grace=self._options.reconciler_grace, live=live)
        repairs = await in_turns(lambda stored: tuple(inspect(stored, scheduled.get(stored.id), sight)), readable)
        return list(chain.from_iterable(repairs))

    async def _restore_chains(self, chunk: Sequence[Stored]) -> None:
        for stored in chunk:
            schedule = stored.job.spec.schedule if isinstance(stored.job, Job) else None
            if isinstance(schedule, After) and await self._chains.restore(stored.id, schedule):
                self._observe(Repaired(job=stored.id, reason="a job that it runs after was created anew"))

    def _missing(self, found: Iterable[Repair], seen: dict[str, datetime]) -> Iterator[Repair]:
        """Leave out what was not missing for as long as the grace; it is noted in `seen` since when it is."""
        now = self._clock.now()
        for repair in found:
            if isinstance(repair, Rehint) and repair.suspect:
                since = seen[repair.hint.key] = self._suspects.get(repair.hint.key, now)
                if now - since < self._options.reconciler_grace:
                    continue
            yield repair

    async def _absent(self, found: Sequence[Repair]) -> list[Repair]:
        """Leave out what lies among the deliveries, or is scheduled as an execution's own hint."""
        hints = [repair.hint for repair in found if isinstance(repair, Rehint)]
        if not hints:
            return list(found)
        delivered = await self._delivered()
        scheduled = await self._scheduled([hint for hint in hints if isinstance(hint, RunHint)])
        now = self._clock.now()

        def is_there(hint: Hint) -> bool:
            start = max(now, hint.start)
            waits = (delivered.get(name) for name in (hint.key, hint.execution))
            return hint.key in scheduled or any(until is not None and until <= start for until in waits)

        return [repair for repair in found if not isinstance(repair, Rehint) or not is_there(repair.hint)]

    async def _scheduled(self, hints: Sequence[RunHint]) -> frozenset[str]:
        """Return the keys of those hints that lie on the schedule subjects of their executions."""
        sight = Sight(now=self._clock.now(), grace=self._options.reconciler_grace, live=frozenset())
        pending = await self._backend.hints.scheduled(hints) if hints else ()
        return frozenset(
            hint.key for hint, found in zip(hints, pending, strict=True) if is_scheduled(hint, found, sight)
        )

    async def _delivered(self) -> dict[str, datetime]:
        """Return the keys and executions of all hints that are delivered and not yet acknowledged.

        With each comes the instant that the earliest of its hints waits for: nobody looks at the job before.
        """
        waits: dict[str, datetime] = {}
        for found in await self._backend.hints.deliveries():
            if found.hint is not None:
                start = found.hint.start
                for name in (found.hint.key, found.hint.execution):
                    waits[name] = min(start, waits.get(name, start))
        return waits

    async def _sweep_schedules(self) -> int:
        repairs = 0
        async for chunk in self._backend.hints.walk(chunk=CHUNK):
            repairs += await self._sweep_schedule_chunk(chunk)
        return repairs

    async def _sweep_schedule_chunk(self, chunk: Sequence[Pending]) -> int:
        stored = await self._backend.jobs.read_many(list({found.job for found in chunk if found.job}))
        strays: list[Repair] = []
        for found in chunk:
            document = stored.get(found.job, Stored(id=found.job, job=None, revision=0))
            if found.job and (document.job is None or _is_ahead(found, document)):
                document = await self._backend.jobs.read(found.job)
                if document.job is not None and _is_ahead(found, document):
                    strays.append(Delete(seq=found.seq, reason="schedule of a document that never was"))
                    continue
            repair = inspect_schedule(found, document)
            if repair is not None:
                strays.append(repair)
        return await self._repair(strays)

    async def revive(self) -> int:
        """Hint again what is delivered but overdue or abandoned: some replica may just have died on it."""
        pending = await self._backend.hints.deliveries()
        jobs = list({found.job: None for found in pending if found.job})
        if not jobs:
            return 0
        now = self._clock.now()
        sight = Sight(now=now, grace=timedelta(0), live=await living(self._backend.locks))
        stored = await self._backend.jobs.read_many(jobs)
        repairs: list[Repair] = []
        for document in stored.values():
            repairs.extend(abandoned(document, sight))
            repairs.extend(untold(document, sight))
            hint = overdue(document, now)
            if hint is not None:
                repairs.append(Rehint(hint=hint, reason="overdue when a lease ended"))
        return await self._repair(repairs)

    async def _repair(self, repairs: Iterable[Repair]) -> int:
        number = 0
        for repair in repairs:
            try:
                await self._do(repair)
            except Unavailable:
                raise
            except BackendError as error:  # it is this repair that is refused, not the next one
                log.warning("a repair was refused", action="repair_failed", repair=str(repair), error=str(error))
            else:
                number += not isinstance(repair, Tell)
        return number

    async def _do(self, repair: Repair) -> None:
        match repair:
            case Rehint(hint=hint, reason=reason):
                await self._hinter.repair(hint)
                self._observe(Repaired(job=hint.job, reason=reason))
            case Delete(seq=seq, reason=reason):
                await self._backend.hints.delete(seq)
                self._observe(Repaired(job="", reason=reason))
            case Tell(job=job, leases=leases):
                await tell(self._backend.locks, leases, job)


def _is_ahead(pending: Pending, stored: Stored) -> bool:
    """Whether a schedule claims to be of a document that is newer than the one read."""
    return pending.hint is not None and pending.hint.revision > stored.revision
