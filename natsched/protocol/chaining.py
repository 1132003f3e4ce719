"""Chains: who follows whom, and starting a job after another has ended, once for each end.

A follower is noted in the documents of the jobs that it runs after, before its own is written, so none of their ends
is missed. Its run is an execution whose id follows from the end that it runs after: one that is known, be it waiting,
running or recorded, is not started again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from natsched.clock import Clock
from natsched.core import changes
from natsched.core.chains import After, chained
from natsched.core.endings import counted, record_of_waiting
from natsched.core.executions import Cause, Event, ExecutionStatus, Record, advance
from natsched.core.jobs import ExecutionId, Job, JobId, Manual, Stored
from natsched.core.owed import manual_hint
from natsched.core.schedules import Schedule
from natsched.errors import Conflict, DocumentError, InvalidJob, TooManyEntries
from natsched.logs import get_logger
from natsched.ports import Backend
from natsched.protocol.hinting import Hinter
from natsched.protocol.reading import is_known, readable

_MOST_UPSTREAM = 1000

log = get_logger(__name__)


class Chains:
    """Notes followers and starts them; `write` writes a document, `keep` a record."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        hinter: Hinter,
        write: Callable[[Job, int], Awaitable[int]],
        keep: Callable[[Job, Record], Awaitable[None]],
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._hinter = hinter
        self._write = write
        self._keep = keep

    async def follow(self, job: JobId, schedule: Schedule) -> None:
        """See that the jobs that this one is to run after know of it; InvalidJob if one does not exist.

        DocumentError: one cannot be read.
        """
        if not isinstance(schedule, After):
            return
        await self._refuse_circle(job, schedule)
        for number, upstream in enumerate(schedule.jobs):
            while True:
                stored = await self._backend.jobs.read(JobId(upstream))
                if stored.job is None:
                    raise InvalidJob(
                        f"there is no job {upstream} that it could run after: create that first",
                        field=f"schedule.jobs.{number}",
                    )
                known = changes.followed(readable(stored), job)
                if known is None:
                    break
                try:
                    await self._write(known, stored.revision)
                except Conflict:
                    continue
                break

    async def restore(self, job: JobId, schedule: After) -> bool:
        """Note a follower again where a job that it runs after was created anew; whether there was any."""
        stored = await self._backend.jobs.read_many([JobId(upstream) for upstream in schedule.jobs])
        if all(not isinstance(one.job, Job) or job in one.job.status.followers for one in stored.values()):
            return False
        try:
            await self.follow(job, schedule)
        except (DocumentError, InvalidJob) as error:
            log.debug(
                "a job runs after one that is gone or cannot be read",
                action="chain_broken",
                job=job,
                error=error.message,
            )
        return True

    async def _refuse_circle(self, job: JobId, schedule: After) -> None:
        seen: set[str] = set()
        ahead = list(schedule.jobs)
        while ahead and len(seen) < _MOST_UPSTREAM:
            upstream = ahead.pop()
            if upstream == job:
                raise InvalidJob("it would run after itself, if only by way of others", field="schedule.jobs")
            if upstream in seen:
                continue
            seen.add(upstream)
            stored = await self._backend.jobs.read(JobId(upstream))
            if isinstance(stored.job, Job) and isinstance(stored.job.spec.schedule, After):
                ahead += stored.job.spec.schedule.jobs

    async def start(self, follower: JobId, ended: Job, execution: ExecutionId) -> bool:
        """Start a job after an end, if it has not been; False if it does not follow at all.

        DocumentError: it cannot be read.
        """
        cause = ended.status.handovers[execution]
        while True:
            stored = await self._backend.jobs.read(follower)
            job = None if stored.job is None else readable(stored)
            if job is None or not isinstance(schedule := job.spec.schedule, After):
                return False
            if cause.job not in schedule.jobs:
                return False
            new = ExecutionId(chained(job.uid, cause))
            if not schedule.follows(cause.job, cause.status) or await is_known(self._backend, job, new):
                return True
            now = self._clock.now()
            if not job.spec.is_active(now):
                await self._leave_out(stored, job, new, cause, "the job is paused")
                return True
            try:
                asked = changes.trigger(job, new, None, now, cause)
                revision = await self._write(asked, stored.revision)
            except Conflict:
                continue
            except TooManyEntries as error:
                await self._leave_out(stored, job, new, cause, error.message)
                return True
            await self._hinter.hint(manual_hint(asked, new, revision))
            return True

    async def _leave_out(self, stored: Stored, job: Job, execution: ExecutionId, cause: Cause, why: str) -> None:
        """Record that a job does not run although one that it follows has ended."""
        now = self._clock.now()
        skipped = advance(ExecutionStatus.PLANNED, Event.OVERLAP)
        reason = f"{cause.job} ended, but {why}"
        record = record_of_waiting(job, execution, Manual(at=now, cause=cause), skipped, reason, now=now)
        await self._keep(job, record)
        status = replace(job.status, counts=counted(job.status.counts, skipped))
        try:
            await self._write(replace(job, status=status), stored.revision)
        except Conflict:
            log.debug("a run that was left out is not counted", action="not_counted", job=job.id)
