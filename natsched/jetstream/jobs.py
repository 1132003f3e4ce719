"""The documents of the jobs, in a KV bucket."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from natsched.core.documents import encode_job, read_job
from natsched.core.jobs import Job, JobId, Stored
from natsched.errors import InvalidJob
from natsched.jetstream.buckets import Bucket
from natsched.jetstream.connection import Connection
from natsched.jetstream.following import Follower
from natsched.jetstream.requests import Message, Requests
from natsched.turns import in_turns


class JobBucket:
    """`ports.JobStore` over a KV bucket: every write is a compare-and-set on the one key of its job."""

    def __init__(self, bucket: Bucket, connection: Connection, requests: Requests) -> None:
        self._bucket = bucket
        self._connection = connection
        self._requests = requests

    async def read(self, job: JobId) -> Stored:
        message = await self._bucket.last(job)
        return _stored(job, message) if message else Stored(id=job, job=None, revision=0)

    async def read_many(self, jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        found = await self._bucket.last_of(jobs)
        stored = {job: Stored(id=job, job=None, revision=0) for job in jobs}
        for key, message in found.items():
            stored[JobId(key)] = _stored(JobId(key), message)
        return stored

    async def write(self, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        data = encode_job(job)
        if len(data) > self._bucket.max_value:
            raise InvalidJob(
                f"its document has {len(data):,} bytes, more than the {self._bucket.max_value:,} that the "
                "server takes: make the payload smaller, or raise the server's `max_payload`",
                field="payload",
            )
        return await self._bucket.put(job.id, data, expected=expected, ttl=ttl)

    async def delete(self, job: JobId, *, expected: int) -> None:
        await self._bucket.delete(job, expected=expected)

    async def scan(self, prefix: str = "", *, chunk: int = 256, after: int = 0) -> AsyncIterator[Sequence[Stored]]:
        async for part in self._bucket.walk(prefix, chunk=chunk, after=after):
            yield [_stored(JobId(key), message) for key, message in part.items()]

    @asynccontextmanager
    async def walk(self, *, chunk: int = 128) -> AsyncIterator[AsyncIterator[Sequence[Stored]]]:
        bucket = self._bucket
        follower = Follower(
            self._connection, self._requests, bucket.stream, [bucket.subject(">")], after=0, room=2 * chunk
        )
        async with follower.opened() as followed:
            yield self._documents(followed)

    async def _documents(self, followed: Follower) -> AsyncIterator[Sequence[Stored]]:
        async for messages in followed.walk():
            yield await in_turns(self._document, [message for message in messages if not message.is_marker])

    def _document(self, message: Message) -> Stored:
        return _stored(JobId(self._bucket.key(message.subject)), message)


def _stored(job: JobId, message: Message) -> Stored:
    value = None if message.is_marker else read_job(message.data, key=job)
    return Stored(id=job, job=value, revision=message.seq)
