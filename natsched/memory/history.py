"""The records of executions, as a KV bucket keeps them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice

from anyio.lowlevel import checkpoint

from natsched.core.documents import decode_record, encode_record
from natsched.core.executions import Record
from natsched.errors import Conflict, DocumentError
from natsched.memory.stream import Message, Stream


class MemoryHistory:
    """`ports.History` in memory, under `<job>.<execution>.<mark>`."""

    def __init__(self, bucket: Stream) -> None:
        self._bucket = bucket

    async def create(self, record: Record, *, ttl: timedelta) -> bool:
        await checkpoint()
        key = f"{record.job}.{record.execution}.{record.mark}"
        try:
            self._bucket.put(key, encode_record(record), expected=0, ttl=ttl)
        except Conflict:
            return False
        return True

    async def get(self, job: str, execution: str, attempt: int) -> Record | None:
        await checkpoint()
        message = self._bucket.last(f"{job}.{execution}.{attempt}")
        return None if message is None or message.marker else _readable(message)

    async def list(
        self, job: str | None = None, execution: str | None = None, *, limit: int = 100
    ) -> Sequence[Record]:
        await checkpoint()
        of_these = (message for message in self._bucket.newest() if _of(message, job, execution))
        records = (record for message in of_these if (record := _readable(message)))
        return list(islice(records, limit))

    async def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Record]]:
        async for messages in self._bucket.walk(lambda _: True, chunk=chunk):
            yield [record for message in messages if (record := _readable(message))]

    @asynccontextmanager
    async def follow(
        self, job: str | None = None, execution: str | None = None
    ) -> AsyncGenerator[AsyncIterator[Record], None]:
        async with self._bucket.follow(lambda message: _of(message, job, execution)) as messages:
            yield (record async for message in messages if (record := _readable(message)))


def _readable(message: Message) -> Record | None:
    try:
        return decode_record(message.data)
    except DocumentError:
        return None


def _of(message: Message, job: str | None, execution: str | None) -> bool:
    its_job, its_execution = (*message.subject.rsplit(".", 2), "", "")[:2]
    return job in (None, its_job) and execution in (None, its_execution)
