"""Making changes: a read from the leader, a pure change, its records, one compare-and-set, then hints.

A crash between the write and its hint is the reconciler's to repair. No operation ends without a write on
anything but a read from the leader.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from natsched.clock import Clock
from natsched.core import changes, ids
from natsched.core.endings import is_kept
from natsched.core.executions import FAILURES, Record
from natsched.core.hints import PlanHint
from natsched.core.jobs import ExecutionId, Job, Stored
from natsched.core.owed import new_runs
from natsched.core.planning import plan_hint
from natsched.core.webhooks import Subscription
from natsched.errors import Conflict, Unavailable
from natsched.ports import Backend
from natsched.protocol.heralding import Herald
from natsched.protocol.hinting import Hinter
from natsched.protocol.reading import existing
from natsched.protocol.retrying import Retry, retrying
from natsched.protocol.writing import write_job

T = TypeVar("T")


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


class Changer:
    """Changes documents, with the records, notices and hints that a change owes."""

    def __init__(self, backend: Backend, clock: Clock, settings: Settings) -> None:
        self.backend: Final = backend
        self.clock: Final = clock
        self.settings: Final = settings
        self.hinter: Final = Hinter(backend.hints, clock, lead=settings.lead)
        self.herald: Final = Herald(backend.outbox, settings.webhooks)
        self.retry: Final = Retry(attempts=6, initial_backoff=0.1, longest=1.0)

    async def change(self, job_id: str, change: Callable[[Job, datetime], changes.Change | None]) -> Job:
        """Change a job; `change` gives None if there is nothing to do."""
        checked = ids.job_id(job_id)

        async def once() -> Job:
            while True:
                stored = await self.backend.jobs.read(checked)
                job = existing(stored)
                changed = change(job, self.clock.now())
                if changed is None:
                    return job
                try:
                    await self.apply(stored, changed)
                except Conflict:
                    continue
                return changed.job

        return await self.in_budget(once)

    async def apply(self, stored: Stored, change: changes.Change) -> None:
        """Write a change of a job as it was read: its records, the document, its hints."""
        await self.keep(stored.job if isinstance(stored.job, Job) else change.job, change.records)
        revision = await self.write(change.job, expected=stored.revision)
        if isinstance(stored.job, Job):
            for hint in new_runs(stored.job, change.job, revision):
                await self.hinter.hint(hint)
        if change.job.status.plan.due is None:
            await self.tidy(change.job, revision)
        else:
            await self.hint(change.job, revision)

    async def keep(self, job: Job, records: Iterable[Record]) -> None:
        """Create the records that the job's history keeps, and tell the webhooks of all."""
        for record in records:
            if is_kept(job, record):
                await self.backend.history.create(record, ttl=self.retention(record))
            waiting = job.status.retries.get(ExecutionId(record.execution))
            after = waiting.attempt - 1 if waiting is not None and not record.attempt else None
            await self.herald.tell(job.spec, record, after=after)

    async def write(self, job: Job, *, expected: int) -> int:
        """Write by compare-and-set."""
        ttl = changes.ttl_of(job, self.settings.completed_retention)
        return await write_job(self.backend.jobs, job, expected=expected, ttl=ttl, retry=self.retry, clock=self.clock)

    async def hint(self, job: Job, revision: int) -> None:
        """Publish the hint of the job's plan, if it has one."""
        hint = plan_hint(job, revision)
        if hint is not None:
            await retrying(lambda: self.hinter.hint(hint), self.retry, self.clock)

    async def tidy(self, job: Job, revision: int | None = None) -> None:
        """Delete the schedule that a job without a plan left, if it is this job's and not newer."""
        probe = PlanHint(job=job.id, uid=job.uid, n=0, start=self.clock.now(), revision=0)
        (found,) = await self.backend.hints.scheduled([probe])
        if found is None or found.hint is None or found.hint.uid != job.uid:
            return
        if revision is None or found.hint.revision < revision:
            await self.backend.hints.delete(found.seq)

    async def in_budget(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try again while there is no answer, as long as the budget lasts."""
        end = self.clock.monotonic() + self.settings.budget.total_seconds()
        pause = 0.1
        while True:
            try:
                return await call()
            except Unavailable:
                if self.clock.monotonic() + pause > end:
                    raise
                await self.clock.sleep(pause)
                pause = min(pause * 2, 1.0)

    def retention(self, record: Record) -> timedelta:
        """Return for how long a record is kept from its end on."""
        failed = record.status in FAILURES
        return self.settings.failures_retention if failed else self.settings.history_retention
