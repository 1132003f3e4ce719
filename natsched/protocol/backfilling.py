"""Asking for runs of instants that have passed: all of them in one write, then a hint for each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from natsched.clock import Clock
from natsched.core.backfilling import backfill, instants_to_run, is_under_way
from natsched.core.jobs import ExecutionId, Job, JobId
from natsched.core.owed import manual_hint
from natsched.errors import Conflict
from natsched.ports import Backend
from natsched.protocol.hinting import Hinter
from natsched.protocol.reading import existing


class Write(Protocol):
    """Writes a document by compare-and-set and returns the revision."""

    async def __call__(self, job: Job, *, expected: int) -> int: ...


class Backfiller:
    """One backfill, which may be tried again when an answer was lost."""

    def __init__(self, backend: Backend, clock: Clock, write: Write, hinter: Hinter) -> None:
        self._backend = backend
        self._clock = clock
        self._write = write
        self._hinter = hinter
        self._asked: Mapping[ExecutionId, datetime] = {}

    async def ask(
        self, job_id: JobId, start: datetime, end: datetime, *, dry_run: bool
    ) -> Mapping[ExecutionId, datetime]:
        while True:
            stored = await self._backend.jobs.read(job_id)
            job, revision, now = existing(stored), stored.revision, self._clock.now()
            wanted = await self._missing(job, instants_to_run(job, start, end, now))
            if dry_run:
                return wanted
            if wanted:
                job, before = backfill(job, wanted, now), self._asked
                self._asked = {**before, **wanted}  # also if no answer comes: then it may have been written
                try:
                    revision = await self._write(job, expected=revision)
                except Conflict:
                    self._asked = before
                    continue
            for execution in self._asked:
                if execution in job.status.manual:
                    await self._hinter.hint(manual_hint(job, execution, revision))
            return self._asked

    async def _missing(self, job: Job, instants: Mapping[ExecutionId, datetime]) -> Mapping[ExecutionId, datetime]:
        """Leave out what is under way, and what has a record."""
        left = {execution: due for execution, due in instants.items() if not is_under_way(job, execution)}
        return {
            execution: due
            for execution, due in left.items()
            if not await self._backend.history.list(job.id, execution, limit=1)
        }
