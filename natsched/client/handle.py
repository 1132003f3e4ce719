"""A handle on one execution."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any, Final

import anyio

from natsched.core.executions import FINAL, ExecutionStatus, Record
from natsched.core.jobs import ExecutionId, Job, JobId
from natsched.errors import ExecutionFailed
from natsched.ports import Backend

_LOOK_AGAIN: Final = 5.0


class ExecutionHandle:
    """An execution that was asked for; awaiting it gives the record of its end, whatever that is."""

    def __init__(self, backend: Backend, job: str, execution: str, *, attempt: int = 1) -> None:
        """`attempt` is the first one that may be the end."""
        self._backend = backend
        self._attempt = attempt
        self.job_id = job
        self.execution_id = execution

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
            await self._check()

    async def _end(self) -> Record | None:
        records = await self._backend.history.list(self.job_id, self.execution_id)
        return next(filter(self._is_end, records), None)

    async def _check(self) -> None:
        """See that the execution can still end."""
        stored = await self._backend.jobs.read(JobId(self.job_id))
        execution = ExecutionId(self.execution_id)
        job = stored.job
        if isinstance(job, Job) and execution in {**job.status.running, **job.status.retries, **job.status.manual}:
            return
        if await self._end() is None:
            raise ExecutionFailed(
                f"{self.execution_id} ended without a record: was the job {self.job_id} removed meanwhile?",
                job=self.job_id,
            )

    def _is_end(self, record: Record) -> bool:
        if record.status is ExecutionStatus.CANCELLED and not record.attempt:
            return True  # before it began
        return record.status in FINAL and record.attempt >= self._attempt
