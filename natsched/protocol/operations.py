"""What can be done to jobs: create, ensure, remove, pause, resume."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from natsched.clock import Clock
from natsched.core import changes, ids, specs
from natsched.core.jobs import Job, JobId, Spec, Stored
from natsched.core.owed import retry_hint, takeover_hint
from natsched.core.planning import plan_hint
from natsched.core.schedules import Schedule
from natsched.errors import Conflict, JobExists
from natsched.ports import Backend
from natsched.protocol.chaining import Chains
from natsched.protocol.changing import Changer, Settings
from natsched.protocol.executions import ExecutionOperations
from natsched.protocol.reading import existing, readable
from natsched.protocol.restoring import Restorer
from natsched.protocol.uniqueness import unique
from natsched.traces import carrier

Check: TypeAlias = Callable[[Job | None], None]


class Ensured(StrEnum):
    """What `ensure` found to do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


class Operations:
    """The operations on jobs; `random` gives 80 random bits for new ids."""

    def __init__(self, backend: Backend, clock: Clock, settings: Settings, random: Callable[[], int]) -> None:
        self._backend = backend
        self._clock = clock
        self._random = random
        self._changer = Changer(backend, clock, settings)
        self._hinter = self._changer.hinter
        self.executions: Final = ExecutionOperations(self._changer, random)
        self.restoring: Final = Restorer(self._changer)
        self.chains: Final = Chains(
            backend,
            clock,
            self._hinter,
            lambda job, revision: self._changer.write(job, expected=revision),
            lambda job, record: self._changer.keep(job, (record,)),
        )

    def spec(self, schedule: Schedule, options: specs.JobOptions) -> Spec:
        """Check what is asked for; the instant of now anchors an interval without a start."""
        return specs.make_spec(schedule, anchor=self._clock.now(), **options)

    async def ensure(
        self, job_id: str, spec: Spec, *, likely_new: bool = False, check: Check | None = None
    ) -> tuple[Ensured, Job]:
        """Create, update, or find nothing to do; with `likely_new` the creation is tried before any read.

        `check` looks at what is there before it is changed, and raises if it must not be.
        """
        checked = ids.job_id(job_id)

        async def once() -> tuple[Ensured, Job]:
            await self.chains.follow(checked, spec.schedule)
            return await self._ensure(checked, spec, likely_new=likely_new, check=check)

        return await self._changer.in_budget(once)

    async def _ensure(
        self, job_id: JobId, spec: Spec, *, likely_new: bool, check: Check | None
    ) -> tuple[Ensured, Job]:
        stored = Stored(id=job_id, job=None, revision=0)
        if not likely_new:
            stored = await self._backend.jobs.read(job_id)
        while True:
            try:
                if check is not None:
                    check(None if stored.job is None else readable(stored))
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
            return await self._changer.in_budget(once)
        locks, retry, clock = self._backend.locks, self._changer.retry, self._clock
        async with unique(locks, unique_key, window, checked, retry=retry, clock=clock):
            return await self._changer.in_budget(once)

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
        job = changes.traced(changes.create(stored.id, uid, spec, now, late=late), carrier())
        revision = await self._changer.write(job, expected=stored.revision)
        await self._changer.hint(job, revision)
        return job

    async def _update(self, stored: Stored, spec: Spec) -> tuple[Ensured, Job]:
        job = readable(stored)
        change = changes.update(job, spec, self._clock.now())
        if change is None:
            await self._look_after(job, stored.revision)
            return Ensured.UNCHANGED, job
        change = replace(change, job=changes.traced(change.job, carrier()))
        await self._changer.apply(stored, change)
        return Ensured.UPDATED, change.job

    async def get(self, job_id: str) -> Job:
        """Read a job from the leader."""
        stored = await self._backend.jobs.read(ids.job_id(job_id))
        return existing(stored)

    async def remove(self, job_id: str, *, check: Check | None = None) -> Job:
        """Remove a job and record what it keeps from running; what runs goes on.

        `check` is as in `ensure`.
        """
        checked = ids.job_id(job_id)

        async def once() -> Job:
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                if check is not None:
                    check(job)
                await self._changer.keep(job, changes.remove(job, self._clock.now()))
                try:
                    await self._backend.jobs.delete(checked, expected=stored.revision)
                except Conflict:
                    continue
                await self._changer.tidy(job)
                return job

        return await self._changer.in_budget(once)

    async def pause(self, job_id: str, until: datetime | None = None, reason: str | None = None) -> Job:
        """Claim nothing more of a job, until that instant or for good; what runs goes on."""
        return await self._changer.change(job_id, lambda job, now: changes.pause(job, now, until, reason))

    async def resume(self, job_id: str) -> Job:
        """Go on with a job, and look again at executions of it whose replica is gone."""
        job = await self._changer.change(job_id, changes.resume)
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

    async def _look_after(self, job: Job, revision: int) -> None:
        """See that an unchanged job's hint exists; one that is about to be due is on its way already."""
        hint = plan_hint(job, revision)
        if hint is not None and hint.start - self._changer.settings.lead > self._clock.now():
            await self._hinter.hint(hint)
