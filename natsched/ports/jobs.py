"""The documents of the jobs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from natsched.core.jobs import Job, JobId, Stored


class JobStore(Protocol):
    """The documents of the jobs, each under its id, changed by compare-and-set alone."""

    async def read(self, job: JobId) -> Stored:
        """Read from the leader: nothing that was acknowledged before the call is missing from the answer."""
        ...

    async def read_many(self, jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        """Read from whoever answers: the values may be old. Every id asked for is in the answer."""
        ...

    async def write(self, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        """Write if the key's last revision is `expected` (0: none), and return the new revision.

        Raise `Conflict` if it is not. With `ttl` (whole seconds) the document goes away by itself.
        """
        ...

    async def delete(self, job: JobId, *, expected: int) -> None:
        """Remove the key if its last revision is `expected`, else raise `Conflict`."""
        ...

    def scan(self, prefix: str = "", *, chunk: int = 256, after: int = 0) -> AsyncIterator[Sequence[Stored]]:
        """Walk the documents of `prefix` (whole tokens, or all) in chunks, by their revisions, beyond `after`.

        One that changes during the walk may come twice or, if it is created then, not at all.
        """
        ...

    def walk(self, *, chunk: int = 128) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Stored]]]:
        """Walk all documents as `scan` does, but as a replica: with least work for the server, and read ahead."""
        ...
