"""What can be done to jobs: each is a read from the leader, a pure change, one compare-and-set, then hints.

A crash between the write and its hint is the reconciler's to repair. No operation ends without a write on
anything but a read from the leader.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from pydantic import JsonValue

from natsched.clock import Clock
from natsched.core import changes, control, ids, specs
from natsched.core.endings import is_kept
from natsched.core.executions import FAILURES, Record
from natsched.core.hints import PlanHint
from natsched.core.jobs import ExecutionId, Job, JobId, Spec, Stored
from natsched.core.owed import manual_hint, new_runs, owed, retry_hint, takeover_hint
from natsched.core.planning import plan_hint
from natsched.core.schedules import Schedule
from natsched.core.webhooks import Subscription
from natsched.errors import Conflict, JobExists, JobNotFound, Unavailable
from natsched.ports import Backend
from natsched.protocol.backfilling import Backfiller
from natsched.protocol.chaining import Chains
from natsched.protocol.heralding import Herald
from natsched.protocol.hinting import Hinter
from natsched.protocol.reading import existing, is_known, readable
from natsched.protocol.retrying import Retry, retrying
from natsched.protocol.telling import tell
from natsched.protocol.uniqueness import unique
from natsched.protocol.writing import write_job

T = TypeVar("T")


class Ensured(StrEnum):
    """What `ensure` found to do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How operations behave; `budget` is how long one goes on trying when there is no answer.

    `webhooks` are told of what happens to any job.
    """

    lead: timedelta = timedelta(seconds=1)
    completed_retention: timedelta = timedelta(days=1)
    history_retention: timedelta = timedelta(days=7)
    failures_retention: timedelta = timedelta(days=30)
    budget: timedelta = timedelta(seconds=5)
    webhooks: tuple[Subscription, ...] = ()


class Operations:
    """The operations on jobs; `random` gives 80 random bits for new ids."""

    def __init__(self, backend: Backend, clock: Clock, settings: Settings, random: Callable[[], int]) -> None:
        self._backend = backend
        self._clock = clock
        self._settings = settings
        self._random = random
        self._hinter = Hinter(backend.hints, clock, lead=settings.lead)
        self._herald = Herald(backend.outbox, settings.webhooks)
        self._retry = Retry(attempts=6, initial_backoff=0.1, longest=1.0)
        self.chains: Final = Chains(
            backend,
            clock,
            self._hinter,
            lambda job, revision: self._write(job, expected=revision),
            lambda job, record: self._keep(job, (record,)),
        )

    def spec(self, schedule: Schedule, options: specs.JobOptions) -> Spec:
        """Check what is asked for; the instant of now anchors an interval without a start."""
        return specs.make_spec(schedule, anchor=self._clock.now(), **options)

    async def ensure(self, job_id: str, spec: Spec, *, likely_new: bool = False) -> tuple[Ensured, Job]:
        """Create, update, or find nothing to do; with `likely_new` the creation is tried before any read."""
        checked = ids.job_id(job_id)

        async def once() -> tuple[Ensured, Job]:
            await self.chains.follow(checked, spec.schedule)
            return await self._ensure(checked, spec, likely_new=likely_new)

        return await self._in_budget(once)

    async def _ensure(self, job_id: JobId, spec: Spec, *, likely_new: bool) -> tuple[Ensured, Job]:
        stored = Stored(id=job_id, job=None, revision=0)
        if not likely_new:
            stored = await self._backend.jobs.read(job_id)
        while True:
            try:
                if stored.job is None:
                    return Ensured.CREATED, await self._create(stored, spec, late=False)
                return await self._update(stored, spec)
            except Conflict:
                stored = await self._backend.jobs.read(job_id)

    async def submit(self, job_id: str, spec: Spec, unique_key: str | None, window: timedelta) -> Job:
        """Create, or raise `JobExists`; a `Once` that is already past is left to its catch-up policy."""
        checked = ids.job_id(job_id)

        async def once() -> Job:
            await self.chains.follow(checked, spec.schedule)
            return await self._submit(checked, spec)

        if unique_key is None:
            return await self._in_budget(once)
        locks, retry, clock = self._backend.locks, self._retry, self._clock
        async with unique(locks, unique_key, window, checked, retry=retry, clock=clock):
            return await self._in_budget(once)

    async def _submit(self, job_id: JobId, spec: Spec) -> Job:
        while True:
            stored = await self._backend.jobs.read(job_id)
            if stored.job is not None:
                raise JobExists(f"a job {job_id} exists: take another id, or ensure it to change it", job=job_id)
            try:
                return await self._create(stored, spec, late=True)
            except Conflict:
                continue

    async def _create(self, stored: Stored, spec: Spec, *, late: bool) -> Job:
        now = self._clock.now()
        uid = ids.ulid(now, self._random())
        job = changes.create(stored.id, uid, spec, now, late=late)
        revision = await self._write(job, expected=stored.revision)
        await self._hint(job, revision)
        return job

    async def _update(self, stored: Stored, spec: Spec) -> tuple[Ensured, Job]:
        job = readable(stored)
        change = changes.update(job, spec, self._clock.now())
        if change is None:
            await self._look_after(job, stored.revision)
            return Ensured.UNCHANGED, job
        await self._apply(stored, change)
        return Ensured.UPDATED, change.job

    async def get(self, job_id: str) -> Job:
        """Read a job from the leader."""
        stored = await self._backend.jobs.read(ids.job_id(job_id))
        return existing(stored)

    async def remove(self, job_id: str) -> Job:
        """Remove a job and record what it keeps from running; what it runs ends unrecorded."""
        checked = ids.job_id(job_id)

        async def once() -> Job:
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                await self._keep(job, changes.remove(job, self._clock.now()))
                try:
                    await self._backend.jobs.delete(checked, expected=stored.revision)
                except Conflict:
                    continue
                await self._tidy(job)
                return job

        return await self._in_budget(once)

    async def pause(self, job_id: str, until: datetime | None = None, reason: str | None = None) -> Job:
        """Claim nothing more of a job, until that instant or for good; what runs goes on."""
        return await self._change(job_id, lambda job, now: changes.pause(job, now, until, reason))

    async def resume(self, job_id: str) -> Job:
        """Go on with a job, and look again at executions of it whose replica is gone."""
        job = await self._change(job_id, changes.resume)
        stored = await self._backend.jobs.read(job.id)
        if isinstance(stored.job, Job):
            for execution, entry in stored.job.status.running.items():
                if entry.lease is None or await self._backend.locks.get(entry.lease) is None:
                    hint = takeover_hint(stored.job, execution, entry, stored.revision)
                    await self._hinter.repair(hint)
            for execution in stored.job.status.retries:
                again = retry_hint(stored.job, execution, stored.revision)
                if again is not None:
                    await self._hinter.repair(again)
        return job

    async def trigger(self, job_id: str, payload: JsonValue = None) -> ExecutionId:
        """Ask for a run now, whatever the plan; also of a paused or completed job."""
        checked = ids.job_id(job_id)
        specs.check_payload(payload, field="payload")
        new, is_asked = ids.ulid(self._clock.now(), self._random()), False

        async def once() -> ExecutionId:
            nonlocal is_asked
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                execution = ids.manual_execution(job.uid, new)
                if is_asked and await is_known(
                    self._backend, job, execution
                ):  # its answer was lost; it may have ended
                    if execution in job.status.manual:
                        await self._hinter.hint(manual_hint(job, execution, stored.revision))
                    return execution
                asked, is_asked = changes.trigger(job, execution, payload, self._clock.now()), True
                try:
                    revision = await self._write(asked, expected=stored.revision)
                except Conflict:
                    continue
                await self._hinter.hint(manual_hint(asked, execution, revision))
                return execution

        return await self._in_budget(once)

    async def retry(self, job_id: str, execution: str) -> int:
        """Ask for one more attempt, now, of an execution that failed, and return its number.

        The job's retry policy has no say in it; one that is running or waiting for an attempt is left as it is.
        """
        checked, wanted, asked = ids.job_id(job_id), ExecutionId(execution), 0

        async def once() -> int:
            nonlocal asked
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                under_way = job.status.retries.get(wanted) or job.status.running.get(wanted)
                if under_way is not None:
                    return under_way.attempt
                records = await self._backend.history.list(checked, wanted)
                if not records:
                    raise JobNotFound(f"there is no record of an execution {wanted} of {checked}", job=checked)
                last = changes.latest(records)
                if 0 < asked <= last.attempt:  # the answer was lost, and it has ended by now
                    return asked
                again = changes.retry(job, records, self._clock.now())
                asked = again.status.retries[wanted].attempt
                await self._herald.tell_retry(job.spec, last, self._clock.now())
                try:
                    revision = await self._write(again, expected=stored.revision)
                except Conflict:
                    continue
                for hint in owed(job, again, revision):
                    await self._hinter.hint(hint)
                return asked

        return await self._in_budget(once)

    async def backfill(
        self, job_id: str, start: datetime, end: datetime, *, dry_run: bool = False
    ) -> Mapping[ExecutionId, datetime]:
        """Ask for a run of each instant in [start, end) that is not asked for yet, and return those.

        With `dry_run` they are only told.
        """
        checked, backfiller = ids.job_id(job_id), Backfiller(self._backend, self._clock, self._write, self._hinter)
        return await self._in_budget(lambda: backfiller.ask(checked, start, end, dry_run=dry_run))

    async def cancel(self, job_id: str, execution: str, reason: str | None = None) -> Job:
        """Ask an execution to end; one that waits to begin is taken out, one whose replica is gone ends as it is."""
        wanted = ExecutionId(execution)
        job = await self._change(job_id, lambda job, now: control.cancel(job, wanted, reason, now))
        await self._tell(job, wanted)
        return job

    async def hold(self, job_id: str, execution: str, *, paused: bool) -> Job:
        """Have a running execution wait at its next checkpoint, or go on."""
        wanted = ExecutionId(execution)

        def change(job: Job, _now: datetime) -> changes.Change | None:
            held = control.hold(job, wanted, paused=paused)
            return None if held is None else changes.Change(job=held)

        job = await self._change(job_id, change)
        await self._tell(job, wanted)
        return job

    async def _tell(self, job: Job, execution: ExecutionId) -> None:
        """Tell the execution's replica; if it is gone, have another see to the execution."""
        stored = await self._backend.jobs.read(job.id)
        entry = stored.job.status.running.get(execution) if isinstance(stored.job, Job) else None
        if entry is None or not isinstance(stored.job, Job):
            return
        if entry.lease is None or await self._backend.locks.get(entry.lease) is None:
            await self._hinter.repair(takeover_hint(stored.job, execution, entry, stored.revision))
        else:
            await tell(self._backend.locks, (entry.lease,), job.id)

    async def _change(self, job_id: str, change: Callable[[Job, datetime], changes.Change | None]) -> Job:
        checked = ids.job_id(job_id)

        async def once() -> Job:
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                changed = change(job, self._clock.now())
                if changed is None:
                    return job
                try:
                    await self._apply(stored, changed)
                except Conflict:
                    continue
                return changed.job

        return await self._in_budget(once)

    async def _apply(self, stored: Stored, change: changes.Change) -> None:
        await self._keep(stored.job if isinstance(stored.job, Job) else change.job, change.records)
        revision = await self._write(change.job, expected=stored.revision)
        if isinstance(stored.job, Job):
            for hint in new_runs(stored.job, change.job, revision):
                await self._hinter.hint(hint)
        if change.job.status.plan.due is None:
            await self._tidy(change.job, revision)
        else:
            await self._hint(change.job, revision)

    async def _keep(self, job: Job, records: Iterable[Record]) -> None:
        for record in records:
            if is_kept(job, record):
                await self._backend.history.create(record, ttl=self._retention(record))
            waiting = job.status.retries.get(ExecutionId(record.execution))
            after = waiting.attempt - 1 if waiting is not None and not record.attempt else None
            await self._herald.tell(job.spec, record, after=after)

    async def _write(self, job: Job, *, expected: int) -> int:
        ttl = changes.ttl_of(job, self._settings.completed_retention)
        return await write_job(
            self._backend.jobs, job, expected=expected, ttl=ttl, retry=self._retry, clock=self._clock
        )

    async def _hint(self, job: Job, revision: int) -> None:
        hint = plan_hint(job, revision)
        if hint is not None:
            await retrying(lambda: self._hinter.hint(hint), self._retry, self._clock)

    async def _look_after(self, job: Job, revision: int) -> None:
        """See that an unchanged job's hint exists; one that is about to be due is on its way already."""
        hint = plan_hint(job, revision)
        if hint is not None and hint.start - self._settings.lead > self._clock.now():
            await self._hinter.hint(hint)

    async def _tidy(self, job: Job, revision: int | None = None) -> None:
        """Delete the schedule that a job without a plan left, if it is this job's and not newer."""
        probe = PlanHint(job=job.id, uid=job.uid, n=0, start=self._clock.now(), revision=0)
        (found,) = await self._backend.hints.scheduled([probe])
        if found is None or found.hint is None or found.hint.uid != job.uid:
            return
        if revision is None or found.hint.revision < revision:
            await self._backend.hints.delete(found.seq)

    async def _in_budget(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try again while there is no answer, as long as the budget lasts."""
        end = self._clock.monotonic() + self._settings.budget.total_seconds()
        pause = 0.1
        while True:
            try:
                return await call()
            except Unavailable:
                if self._clock.monotonic() + pause > end:
                    raise
                await self._clock.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _retention(self, record: Record) -> timedelta:
        failed = record.status in FAILURES
        return self._settings.failures_retention if failed else self._settings.history_retention
