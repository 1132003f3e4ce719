"""A handle on one execution."""

from collections.abc import Generator, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import anyio

from natsched.core.backfilling import is_under_way
from natsched.core.executions import FINAL, ExecutionStatus, Record
from natsched.core.jobs import ExecutionId, Job, JobId
from natsched.errors import ExecutionFailed
from natsched.ports import Backend

_LOOK_AGAIN: Final = 5.0
_LOOK_SOON: Final = 0.2
_OF_OTHERS: Final = frozenset({ExecutionStatus.COALESCED, ExecutionStatus.MISSED})
"""Records of instants that were left out for a run have the execution of the run, but are no end of it."""


class ExecutionHandle:
    """An execution that was asked for; awaiting it gives the record of its end, whatever that is."""

    def __init__(
        self, backend: Backend, job: str, execution: str, *, attempt: int = 1, due: datetime | None = None
    ) -> None:
        """`attempt` is the first one that may be the end; `due` is the instant it runs for, if it is known."""
        self._backend = backend
        self._attempt = attempt
        self.job_id = job
        self.execution_id = execution
        self.due = due

    def __repr__(self) -> str:
        return f"ExecutionHandle({self.job_id!r}, {self.execution_id!r})"

    def __await__(self) -> Generator[Any, Any, Record]:
        return self.wait().__await__()

    async def wait(self, timeout: float | timedelta | None = None) -> Record:  # noqa: ASYNC109 - anyio has no other form for users
        """Wait for the end; TimeoutError after `timeout` seconds, ExecutionFailed if it ends without a record."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        with anyio.fail_after(seconds):
            return await self._wait()

    async def _wait(self) -> Record:
        while True:
            async with self._backend.history.follow(self.job_id, self.execution_id) as records:
                end = await self._end()
                if end is not None:
                    return end
                with anyio.move_on_after(_LOOK_AGAIN):
                    async for record in records:
                        if self._is_end(record):
                            return record
                        if not record.attempt:
                            await anyio.sleep(_LOOK_SOON)  # such a record comes before the write that it tells of
                            break
            await self._check()

    async def _end(self) -> Record | None:
        records = await self._backend.history.list(self.job_id, self.execution_id)
        return next(filter(self._is_end, records), None) or await self._end_without_a_run(records)

    async def _end_without_a_run(self, records: Iterable[Record]) -> Record | None:
        """Return the record that it did not run, unless it is under way all the same: another decision won then."""
        told = [record for record in records if not record.attempt and record.status not in _OF_OTHERS]
        return told[0] if told and not await self._is_under_way() else None

    async def _check(self) -> None:
        """See that the execution can still end."""
        if await self._is_under_way() or await self._end() is not None:
            return
        raise ExecutionFailed(
            f"{self.execution_id} ended without a record: was the job {self.job_id} removed meanwhile?",
            job=self.job_id,
        )

    async def _is_under_way(self) -> bool:
        stored = await self._backend.jobs.read(JobId(self.job_id))
        return isinstance(stored.job, Job) and is_under_way(stored.job, ExecutionId(self.execution_id))

    def _is_end(self, record: Record) -> bool:
        return record.status in FINAL and record.attempt >= self._attempt
