"""The records of what ran, and of what did not."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from natsched.core.executions import Record


class History(Protocol):
    """The records of executions, created once, kept for a time."""

    async def create(self, record: Record, *, ttl: timedelta) -> bool:
        """Keep the record; False if one of the same job, execution and mark (`Record.mark`) was there already."""
        ...

    async def get(self, job: str, execution: str, attempt: int) -> Record | None:
        """Read from the leader; a record that cannot be read is reported, and counts as none."""
        ...

    async def list(
        self, job: str | None = None, execution: str | None = None, *, limit: int = 100
    ) -> Sequence[Record]:
        """Return the newest records first, at most `limit`: all, or of a job, or of one execution."""
        ...

    def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Record]]:
        """Walk all records in the order of their ends, in chunks; those that cannot be read are left out."""
        ...

    def follow(
        self, job: str | None = None, execution: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """Follow the records that are created from the moment the context is entered."""
        ...
