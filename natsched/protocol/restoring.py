"""Writing back what a backup has: records first, for they tell what has ended, then documents with their hints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from natsched.core.executions import Record
from natsched.core.jobs import ExecutionId, Job, LeaseId, Stored
from natsched.core.owed import handover_hint, manual_hint, retry_hint, takeover_hint
from natsched.core.restoring import remaining, restored
from natsched.errors import Conflict, JobExists
from natsched.protocol.changing import Changer

_RECORDS: Final = 100_000


class Restorer:
    """Brings back jobs that are not there, and records."""

    def __init__(self, changer: Changer) -> None:
        self._changer: Final = changer
        self._backend = changer.backend
        self._clock = changer.clock

    async def record(self, record: Record) -> bool:
        """Keep a record for what is left of its time; False if it is there, or its time is over."""
        ttl = remaining(record, self._changer.retention(record), self._clock.now())
        return ttl is not None and await self._changer.in_budget(
            lambda: self._backend.history.create(record, ttl=ttl)
        )

    async def job(self, job: Job, *, since: datetime) -> Sequence[ExecutionId]:
        """Bring back a job that is not there as it was at `since`, or raise `JobExists`.

        Return the executions that are not brought back because a replica that is alive may run them still.
        """

        async def once() -> tuple[Stored, Sequence[ExecutionId]]:
            stored = await self._backend.jobs.read(job.id)
            if stored.job is not None:
                raise JobExists(f"a job {job.id} exists", job=job.id)
            records = await self._backend.history.list(job.id, limit=_RECORDS)
            found = restored(job, records, await self._alive(job), self._clock.now(), since)
            try:
                revision = await self._changer.write(found.job, expected=stored.revision)
            except Conflict:
                raise JobExists(f"a job {job.id} was created meanwhile", job=job.id) from None
            return Stored(id=job.id, job=found.job, revision=revision), found.left

        written, left = await self._changer.in_budget(once)
        await self._changer.in_budget(lambda: self._hint(written))
        return left

    async def _alive(self, job: Job) -> frozenset[LeaseId | None]:
        leases = {entry.lease for entry in job.status.running.values() if entry.lease is not None}
        return frozenset([lease for lease in leases if await self._backend.locks.get(lease) is not None])

    async def _hint(self, stored: Stored) -> None:
        """Publish every hint that the document is owed."""
        job, revision = stored.job, stored.revision
        assert isinstance(job, Job)
        hinter = self._changer.hinter
        await self._changer.hint(job, revision)
        for execution, entry in job.status.running.items():
            await hinter.repair(takeover_hint(job, execution, entry, revision))
        for execution in job.status.manual:
            await hinter.hint(manual_hint(job, execution, revision))
        for execution in job.status.retries:
            if (again := retry_hint(job, execution, revision)) is not None:
                await hinter.hint(again)
        for execution in job.status.handovers:
            await hinter.hint(handover_hint(job, execution, revision))
