"""Keeping the books: the writes that claim, settle and finish, each with the records, notices and hints it owes."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from natsched.clock import Clock
from natsched.core.changes import Change, ttl_of
from natsched.core.control import ended as changed_by_end
from natsched.core.endings import Outcome, holds, is_kept, record_of, release
from natsched.core.executions import FAILURES, Event, ExecutionStatus, Record, advance
from natsched.core.hints import Hint
from natsched.core.jobs import ExecutionId, Job, Running, Unreadable
from natsched.core.owed import freed, orphaned, owed
from natsched.daemon.announcing import Announcements
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.owing import Debts
from natsched.daemon.recalling import Recall
from natsched.errors import BackendError, Conflict, Unavailable
from natsched.logs import get_logger
from natsched.ports import Backend
from natsched.protocol.heralding import Herald
from natsched.protocol.hinting import Hinter
from natsched.protocol.retrying import retrying
from natsched.protocol.writing import write_job

T = TypeVar("T")

log = get_logger(__name__)


class Books:
    """Writes documents and records, and publishes hints, for what this replica decided."""

    def __init__(self, backend: Backend, clock: Clock, options: ReplicaOptions) -> None:
        self._backend = backend
        self._clock = clock
        self._options = options
        self.recall = Recall(options.prefetch)
        self._hinter = Hinter(backend.hints, clock, lead=options.lead)
        self.debts = Debts(self._hinter, clock, limit=options.prefetch)
        self._herald = Herald(backend.outbox, options.webhooks.subscriptions)
        self.announcements = Announcements(self._herald, clock, limit=options.prefetch)

    async def write(self, job: Job, *, expected: int) -> int:
        """Write a document by compare-and-set, with a lost answer found out."""
        revision = await write_job(
            self._backend.jobs,
            job,
            expected=expected,
            ttl=ttl_of(job, self._options.completed_retention),
            retry=self._options.publish_retry,
            clock=self._clock,
        )
        self.recall.note(job, revision)
        return revision

    async def keep(self, job: Job, *records: Record, after: int | None = None) -> None:
        """Create the records that the job's history keeps, and tell of all; one that is there already stays.

        With `after` they tell what became of an execution after that attempt.
        """
        for record in records:
            if is_kept(job, record):
                await self._again(partial(self._backend.history.create, record, ttl=self._retention(record.status)))
            await self.tell(job, record, after=after)

    async def tell(self, job: Job, record: Record, *, after: int | None = None) -> None:
        """Tell the webhooks of a change, if there are any."""
        if self._herald.is_wanted(job.spec):
            await self._again(partial(self._herald.tell, job.spec, record, after=after))

    def announce(
        self, job: Job, execution: ExecutionId, entry: Running, start: datetime, former: Running | None = None
    ) -> None:
        """Tell the webhooks in passing that an execution runs, and of the `former` holder that died on it, if any."""
        if not self._herald.is_wanted(job.spec):
            return
        now = self._clock.now()
        if former is not None and former.lease is not None:
            status = advance(ExecutionStatus.RUNNING, Event.HOLDER_DIED)
            died = Outcome(status=status, started_at=None, ended_at=now, reason="its replica died")
            self.announcements.add(job.spec, record_of(job, execution, former, died, replica=None))
        runs = Outcome(status=ExecutionStatus.RUNNING, started_at=None, ended_at=max(now, start))
        record = record_of(job, execution, entry, runs, replica=self._options.name)
        self.announcements.add(job.spec, record)

    async def owe(self, hint: Hint | None) -> None:
        """Publish a hint that a document is owed; without an answer it is tried again in passing."""
        if hint is None:
            return
        try:
            await self._hinter.hint(hint)
        except Unavailable:
            self.debts.add(hint)
        except BackendError as error:
            log.warning(
                "a hint could not be published; the reconciler will",
                action="hint_failed",
                job=hint.job,
                hint=hint.key,
                error=str(error),
            )

    async def end(
        self,
        job: Job,
        revision: int,
        execution: ExecutionId,
        entry: Running,
        outcome: Outcome,
        *,
        may_go_on: Callable[[], bool],
        awaited: bool = False,
    ) -> Record | None:
        """Record an attempt that ended and take it out of the document; None if it is no longer this replica's.

        The record comes first, so that whoever finds the execution abandoned can finish from it; then the notice,
        so that the same one tells it again. What waits to be taken over is woken then; others that wait, too, unless
        the end is `awaited` in this replica.
        """
        assert entry.lease is not None
        record = record_of(job, execution, entry, outcome, replica=self._options.name)
        while may_go_on():
            try:
                await self.keep(job, record)
                ended = await self._finish(job, revision, execution, entry, outcome)
                if ended is None:
                    return None
                before, after, written = ended
                await self._wake(orphaned(before, after, written))
                if not awaited:
                    await self._wake(freed(before, after, written, self._clock.now()))
                return record
            except Unavailable:
                log.debug("no answer to a finish: trying again", action="finish_again", execution=execution)
        return None

    async def note(self, job: Job, execution: ExecutionId, entry: Running, outcome: Outcome) -> Record:
        """Record a run that left no trace in its document: there is nothing to finish."""
        record = record_of(job, execution, entry, outcome, replica=self._options.name)
        await self.keep(job, record)
        return record

    async def _finish(
        self, job: Job, revision: int, execution: ExecutionId, entry: Running, outcome: Outcome
    ) -> tuple[Job, Job, int] | None:
        """Write the end and return the document before and after it, the same if somebody else wrote it."""
        assert entry.lease is not None
        while True:
            try:
                change = _ended(job, execution, outcome)
                await self.keep(job, *change.records, after=entry.attempt)
                ended, written = change.job, await self.write(change.job, expected=revision)
            except Conflict:
                stored = await self._backend.jobs.read(job.id)
                if isinstance(stored.job, Unreadable):
                    return None  # who can read it finishes from the record, when the hint comes again
                if not isinstance(stored.job, Job) or stored.job.uid != job.uid:
                    return job, job, revision
                job, revision = stored.job, stored.revision
                if not holds(job, execution, token=entry.token, lease=entry.lease):
                    return (job, job, revision) if _was_mine(job, execution, entry) else None
                continue
            log_pause(job, ended)
            for hint in owed(job, ended, written):
                await self.owe(hint)
            return job, ended, written

    async def _wake(self, hints: Iterable[Hint]) -> None:
        for hint in hints:
            try:
                await self._hinter.wake(hint)
            except BackendError as error:
                log.debug("who waits is not woken and looks again by itself", action="not_woken", error=str(error))

    def _retention(self, status: ExecutionStatus) -> timedelta:
        options = self._options
        return options.failures_retention if status in FAILURES else options.history_retention

    async def _again(self, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(call, self._options.publish_retry, self._clock)


def log_pause(before: Job, after: Job) -> None:
    """Tell of a job that paused itself, if it did."""
    last = after.status.last
    if before.spec.active and not after.spec.active and last is not None:
        log.warning(
            "job paused: too many of its runs failed in a row",
            action="job_paused",
            job=after.id,
            execution=last.execution,
            due=last.due.isoformat(),
            reason=after.spec.pause_reason,
        )


def _ended(job: Job, execution: ExecutionId, outcome: Outcome) -> Change:
    if outcome.status is ExecutionStatus.INTERRUPTED:
        return Change(job=release(job, execution))
    return changed_by_end(job, execution, outcome)


def _was_mine(job: Job, execution: ExecutionId, entry: Running) -> bool:
    """Whether the attempt is gone from `running` because of its own finish, whose answer was lost."""
    last = job.status.last
    return last is not None and (last.execution, last.attempt) == (execution, entry.attempt)
