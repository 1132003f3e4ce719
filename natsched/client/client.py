"""The client's operations."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, Unpack

from pydantic import JsonValue

from natsched.client.backup import BackedUp, RestoreResult, back_up, restore
from natsched.client.bulk import BulkEnsure, BulkResult, Item, Progress
from natsched.client.handle import ExecutionHandle
from natsched.client.records import Question, find, statuses_of
from natsched.client.views import JobPage, JobView, view
from natsched.clock import Clock
from natsched.config import FileOfJobs, load_file
from natsched.core.applying import Outline
from natsched.core.backlog import Backlog, backlogs
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.ids import job_id
from natsched.core.jobs import Job, Stored
from natsched.core.schedules import Schedule
from natsched.core.specs import JobOptions
from natsched.core.upcoming import Upcoming, upcoming
from natsched.errors import InvalidJob, JobNotFound
from natsched.logs import get_logger
from natsched.ports import Backend
from natsched.protocol.applying import Applied, Applier
from natsched.protocol.leases import Living, replicas
from natsched.protocol.operations import Ensured, Operations
from natsched.traces import asking

_CHUNK: Final = 256
_LONGEST_CURSOR: Final = 20

log = get_logger(__name__)


class Client:
    """Ensures, submits, looks at and controls jobs; safe to share between tasks.

    Get one by `connect`. Every call may raise `Unavailable` when NATS does not answer within its time limit.
    """

    def __init__(self, backend: Backend, operations: Operations, clock: Clock) -> None:
        self._backend = backend
        self._operations = operations
        self._clock = clock
        self._applier = Applier(backend, operations)

    async def ensure_job(self, id: str, schedule: Schedule, **options: Unpack[JobOptions]) -> Ensured:  # noqa: A002
        """See that the job exists as given: create it, update it, or find it unchanged.

        Unchanged writes nothing and never moves an interval's phase, so a service may call this at every
        start. A change of the schedule or queue plans anew, any other keeps the planned run. Once it has
        returned, no run of the old definition is claimed any more.
        """
        with asking("natsched.ensure_job", {"natsched.job": id}):
            outcome, _ = await self._operations.ensure(id, self._operations.spec(schedule, options))
        return outcome

    async def submit_job(
        self,
        id: str,  # noqa: A002
        schedule: Schedule,
        *,
        unique_key: str | None = None,
        unique_for: timedelta = timedelta(days=1),
        **options: Unpack[JobOptions],
    ) -> JobView:
        """Create the job, or raise `JobExists`. A `Once` that is just past still runs, by its catch-up policy.

        With `unique_key` also raise it if any job was submitted under that key within the last `unique_for`.
        """
        with asking("natsched.submit_job", {"natsched.job": id}):
            spec = self._operations.spec(schedule, options)
            return self._view(await self._operations.submit(id, spec, unique_key, unique_for))

    async def ensure_jobs(self, jobs: Iterable[Item], *, progress: Progress | None = None) -> BulkResult:
        """Ensure many jobs, with many requests under way.

        Each is a mapping with the keywords of `ensure_job`, `{"id": ..., "schedule": ..., ...}`, or a job's
        document. `progress(done, total)` is called after each; `total` is None if it cannot be known.
        """
        with asking("natsched.ensure_jobs", {}):
            return await BulkEnsure(self._operations, jobs, progress).run()

    async def plan_files(self, *files: Path | FileOfJobs, prune: bool = False, take_over: bool = False) -> Outline:
        """Lay out what files of jobs would create, change and, with `prune`, remove; nothing is written.

        A job of another owner raises `JobOwned`, unless it is taken over. Only what the `owner` of a file has is
        pruned.
        """
        loaded = [load_file(file) if isinstance(file, Path) else file for file in files]
        return await self._applier.outline(loaded, prune=prune, take_over=take_over)

    async def apply_plan(self, outline: Outline, *, progress: Progress | None = None) -> Applied:
        """Do what was laid out. A job whose definition was changed meanwhile is left, and `changed` says so."""
        return await self._applier.apply(outline, progress)

    async def backup(self, path: Path) -> BackedUp:
        """Write all jobs, with what is of them, and all records to a file; not locks, keys and data of runs."""
        return await back_up(self._backend, self._clock.now(), path)

    async def restore(
        self, path: Path, *, overwrite: bool = False, dry_run: bool = False, progress: Progress | None = None
    ) -> RestoreResult:
        """Bring back what a backup has; `JobExists`, and nothing written, if a job of it is there.

        With `overwrite` those that are there get the definition of the backup and keep what is: runs, counts, a
        pause. The others come back as they were, but for what records show to have ended since; what else fell due
        since is made up for by their catch-up policies.
        """
        how = {"overwrite": overwrite, "dry_run": dry_run}
        return await restore(self._backend, self._operations, path, **how, progress=progress)

    async def get_job(self, id: str) -> JobView:  # noqa: A002
        """Return the job, or raise `JobNotFound`."""
        return self._view(await self._operations.get(id))

    async def upcoming_runs(self, id: str, *, limit: int = 10) -> Sequence[Upcoming]:  # noqa: A002
        """Return the next instants of the job's schedule, as it is planned now; none while it is paused for good."""
        if limit < 1:
            raise InvalidJob(f"{limit} is no number of instants: take 1 or more", field="limit")
        return list(islice(upcoming(await self._operations.get(id)), limit))

    async def list_jobs(self, prefix: str = "", *, limit: int = 100, after: str | None = None) -> JobPage:
        """Return a page of jobs, of those below a prefix of whole tokens (`billing` for `billing.daily`)."""
        if limit < 1:
            raise InvalidJob(f"{limit} is no size of a page: take 1 or more", field="limit")
        jobs: list[JobView] = []
        cursor = after
        async for chunk in self._scan(prefix, min(limit + 1, _CHUNK), after):
            for stored in chunk:
                if not isinstance(stored.job, Job):
                    continue
                if len(jobs) == limit:
                    return JobPage(jobs=tuple(jobs), next=cursor)
                jobs.append(self._view(stored.job))
                cursor = str(stored.revision)
        return JobPage(jobs=tuple(jobs), next=None)

    async def iter_jobs(self, prefix: str = "") -> AsyncIterator[JobView]:
        """Go through all jobs below a prefix, each once."""
        seen: set[str] = set()
        async for chunk in self._scan(prefix, _CHUNK, None):
            for stored in chunk:
                if isinstance(stored.job, Job) and stored.id not in seen:
                    seen.add(stored.id)
                    yield self._view(stored.job)

    async def remove_job(self, id: str) -> JobView:  # noqa: A002
        """Remove the job, or raise `JobNotFound`; what runs goes on, and is recorded when it ends.

        Executions that waited, asked for by hand or for another attempt, are recorded as cancelled.
        """
        return self._view(await self._operations.remove(id))

    async def pause_job(
        self,
        id: str,  # noqa: A002
        *,
        until: datetime | None = None,
        reason: str | None = None,
    ) -> JobView:
        """Claim no more runs, until an instant or until `resume_job`; what is running goes on.

        The reason, up to 500 characters, is shown with the job for as long as it is paused.
        """
        if until is not None and until.tzinfo is None:
            raise InvalidJob(f"{until} has no time zone: make it aware, e.g. with tzinfo=UTC", field="until")
        return self._view(await self._operations.pause(id, until, reason))

    async def resume_job(self, id: str) -> JobView:  # noqa: A002
        """Go on, with the first instant after now."""
        return self._view(await self._operations.resume(id))

    async def trigger_job(self, id: str, payload: JsonValue = None) -> ExecutionHandle:  # noqa: A002
        """Ask for a run now, besides the plan; await the handle for the record of its end.

        The payload, if any, stands in for the job's own. Under `overlap="skip"` the run waits for those
        before it.
        """
        with asking("natsched.trigger_job", {"natsched.job": id}):
            execution = await self._operations.executions.trigger(id, payload)
        return ExecutionHandle(self._backend, id, execution)

    async def backfill_job(
        self,
        id: str,  # noqa: A002
        start: datetime,
        end: datetime,
        *,
        dry_run: bool = False,
    ) -> Sequence[ExecutionHandle]:
        """Ask for a run of each instant of the job's schedule in [start, end), whether it ran at its time or not.

        They run as `overlap` says, in the order of their instants, each with that instant as its `due`. What an
        earlier backfill asked for is not asked for again. Return the handles of those that are, or with `dry_run`
        would be, asked for. No more than 256 may wait at once.
        """
        asked = await self._operations.executions.backfill(id, start, end, dry_run=dry_run)
        return [ExecutionHandle(self._backend, id, execution, due=due) for execution, due in asked.items()]

    def execution(self, job: str, execution: str) -> ExecutionHandle:
        """Return a handle on an execution that is known by its id."""
        return ExecutionHandle(self._backend, job_id(job), execution)

    async def executions(
        self,
        job: str | None = None,
        execution: str | None = None,
        *,
        limit: int = 100,
        missed: bool = False,
        status: Collection[ExecutionStatus | str] = (),
        since: datetime | None = None,
    ) -> Sequence[Record]:
        """Return records, the newest first: of all jobs, of one, or of one execution.

        Of one job those that are running come first. With `missed` only runs that did not happen, and before them
        what fell due so far in pauses that last; with `status` only executions whose last attempt ended so; with
        `since` only what ended at that instant or later.
        """
        question = Question(
            job=job,
            execution=execution,
            statuses=statuses_of(status),
            missed=missed,
            since=since,
            limit=limit,
        )
        return await find(self._backend, question, self._clock.now())

    async def replicas(self) -> Sequence[Living]:
        """Return the replicas that live, by their names, with what each serves and runs."""
        return await replicas(self._backend.locks)

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return by queue what is due and not yet ended: held by replicas, or waiting for one."""
        return backlogs(await self._backend.hints.deliveries(), self._clock.now())

    def watch(self, job: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """Follow the records of what ends or did not run, of all jobs or of one, from when the context is entered."""
        return self._backend.history.follow(None if job is None else job_id(job))

    async def cancel_execution(self, job: str, execution: str, *, reason: str | None = None) -> ExecutionHandle:
        """Ask an execution to end; await the handle for its end.

        A coroutine is cancelled, a command gets SIGTERM, a worker is told, a plain function sees `ctx.cancelled`.
        One that only waits to begin, or for another attempt, is taken out at once.
        """
        await self._operations.executions.cancel(job, execution, reason)
        return ExecutionHandle(self._backend, job, execution)

    async def pause_execution(self, job: str, execution: str) -> None:
        """Have a running execution wait when it comes to its next `await ctx.checkpoint()`."""
        await self._operations.executions.hold(job, execution, paused=True)

    async def resume_execution(self, job: str, execution: str) -> None:
        """Let an execution that was paused go on."""
        await self._operations.executions.hold(job, execution, paused=False)

    async def retry_execution(self, job: str, execution: str) -> ExecutionHandle:
        """Ask for one more attempt of an execution that failed, now and whatever its job's retry policy."""
        attempt = await self._operations.executions.retry(job, execution)
        return ExecutionHandle(self._backend, job, execution, attempt=attempt)

    async def retry_dead(self, job: str | None = None, *, limit: int = 1000) -> Sequence[ExecutionHandle]:
        """Ask for one more attempt of all executions that are dead, of one job or of all that are still there."""
        handles = []
        for record in await self.executions(job, limit=limit, status=(ExecutionStatus.DEAD,)):
            try:
                handles.append(await self.retry_execution(record.job, record.execution))
            except (JobNotFound, InvalidJob) as error:
                log.info("a dead execution is left", action="retry_left", job=record.job, reason=str(error))
        return handles

    def _scan(self, prefix: str, chunk: int, after: str | None) -> AsyncIterator[Sequence[Stored]]:
        checked = job_id(prefix) if prefix else ""
        if after is not None and not (after.isdecimal() and len(after) <= _LONGEST_CURSOR):
            raise InvalidJob(f"{after!r} is not the `next` of a page", field="after")
        return self._backend.jobs.scan(checked, chunk=chunk, after=int(after or 0))

    def _view(self, job: Job) -> JobView:
        return view(job, self._clock.now())
