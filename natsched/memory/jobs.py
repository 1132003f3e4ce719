"""The documents of the jobs, as a KV bucket keeps them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from anyio.lowlevel import checkpoint

from natsched.core.documents import encode_job, read_job
from natsched.core.jobs import Job, JobId, Stored
from natsched.memory.stream import Message, Stream, below


class MemoryJobs:
    """`ports.JobStore` in memory."""

    def __init__(self, bucket: Stream) -> None:
        self._bucket = bucket

    async def read(self, job: JobId) -> Stored:
        await checkpoint()
        return self._read(job)

    async def read_many(self, jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        await checkpoint()
        return {job: self._read(job) for job in jobs}

    async def write(self, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        await checkpoint()
        return self._bucket.put(job.id, encode_job(job), expected=expected, ttl=ttl).seq

    async def delete(self, job: JobId, *, expected: int) -> None:
        await checkpoint()
        self._bucket.mark(job, expected=expected)

    async def scan(self, prefix: str = "", *, chunk: int = 256, after: int = 0) -> AsyncIterator[Sequence[Stored]]:
        walk = self._bucket.walk(lambda message: below(message.subject, prefix), chunk=chunk, after=after)
        async for messages in walk:
            yield [_stored(message) for message in messages]

    @asynccontextmanager
    async def walk(self, *, chunk: int = 128) -> AsyncIterator[AsyncIterator[Sequence[Stored]]]:
        yield self.scan(chunk=chunk)

    def _read(self, job: JobId) -> Stored:
        message = self._bucket.last(job)
        return _stored(message) if message else Stored(id=job, job=None, revision=0)


def _stored(message: Message) -> Stored:
    job = None if message.marker else read_job(message.data, key=message.subject)
    return Stored(id=JobId(message.subject), job=job, revision=message.seq)
