"""The records of executions, in a KV bucket under `<job>.<execution>.<mark>`.

Records are created once, so the order of the stream is that of their ends, and the newest are its last. The
server reads forwards only. So `list` steps back from the end, each step eight times as far, until the server
counts enough records ahead (with each message of a batched read it tells how many follow), halves that step
down to what is wanted, and reads from there. Measured with 200,000 records: a count takes 0.2 ms for all jobs,
0.3-1.3 ms for one (with a filter that is not `>` the server goes through the subjects that match).
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from natsched.core.documents import decode_record, encode_record
from natsched.core.executions import Record
from natsched.errors import Conflict, DocumentError
from natsched.jetstream.buckets import Bucket
from natsched.jetstream.connection import Connection
from natsched.jetstream.following import Follower
from natsched.jetstream.requests import Message, Requests
from natsched.logs import get_logger

_log: Final = get_logger(__name__)
_STEP: Final = 8
_CHUNK: Final = 256
_DEPTHS: Final = (range(1, 17), range(17, 101))
"""How many tokens a job's id may have, the likely ones first."""


class HistoryBucket:
    """`ports.History` over a KV bucket."""

    def __init__(self, bucket: Bucket, connection: Connection, requests: Requests) -> None:
        self._bucket = bucket
        self._connection = connection
        self._requests = requests

    async def create(self, record: Record, *, ttl: timedelta) -> bool:
        key = f"{record.job}.{record.execution}.{record.mark}"
        try:
            await self._bucket.put(key, encode_record(record), expected=0, ttl=ttl)
        except Conflict:
            return False
        return True

    async def get(self, job: str, execution: str, attempt: int) -> Record | None:
        message = await self._bucket.last(f"{job}.{execution}.{attempt}")
        return None if message is None or message.is_marker else _record(message.subject, message.data)

    async def list(
        self, job: str | None = None, execution: str | None = None, *, limit: int = 100
    ) -> Sequence[Record]:
        if limit < 1:
            return []
        if job is None and execution is not None:
            return _records(await self._of_any_job(execution))[:limit]
        subject = ">" if job is None else self._bucket.subject(f"{job}.{execution or '*'}.*")
        wanted = limit
        while True:
            messages = await self._newest(subject, wanted)
            records = _records(messages)
            if len(records) >= limit or len(messages) < wanted:
                return records[:limit]
            wanted *= _STEP  # some of these are no records

    async def walk(self, *, chunk: int = _CHUNK) -> AsyncIterator[Sequence[Record]]:
        async for messages in self._requests.walk(self._bucket.stream, ">", chunk=chunk):
            there = (message for message in messages if not message.is_marker)
            yield [record for message in there if (record := _record(message.subject, message.data))]

    @asynccontextmanager
    async def follow(
        self, job: str | None = None, execution: str | None = None
    ) -> AsyncIterator[AsyncIterator[Record]]:
        keys = ">" if job is None else f"{job}.{execution or '*'}.*"
        follower = Follower(self._connection, self._requests, self._bucket.stream, [self._bucket.subject(keys)])
        async with follower.opened() as followed:
            yield self._followed(followed, execution)

    async def _followed(self, followed: Follower, execution: str | None) -> AsyncIterator[Record]:
        async for message in followed:
            if message is None or message.is_marker:
                continue
            record = _record(message.subject, message.data)
            if record is not None and execution in (None, record.execution):
                yield record

    async def _newest(self, subject: str, limit: int) -> Sequence[Message]:
        start = await self._start_of_newest(subject, limit)
        newest: deque[Message] = deque(maxlen=limit)
        async for messages in self._requests.walk(self._bucket.stream, subject, chunk=_CHUNK, after=start - 1):
            newest.extend(messages)
        return newest

    async def _start_of_newest(self, subject: str, limit: int) -> int:
        """Find a sequence from which on there are enough messages, yet not many more."""
        last = await self._requests.last_sequence(self._bucket.stream)
        back, ahead = 2 * limit, last + 1
        start = max(last - back, 1)
        while (count := await self._count(subject, start)) < limit and start > 1:
            back, ahead = back * _STEP, start
            start = max(last - back, 1)
        while count > 2 * limit + _CHUNK and ahead - start > 1:
            middle = (start + ahead) // 2
            nearer = await self._count(subject, middle)
            if nearer < limit:
                ahead = middle
            else:
                start, count = middle, nearer
        return start

    async def _count(self, subject: str, seq: int) -> int:
        return await self._requests.count(self._bucket.stream, subject, seq)

    async def _of_any_job(self, execution: str) -> Sequence[Message]:
        for depths in _DEPTHS:
            subjects = [self._bucket.subject(f"{'*.' * depth}{execution}.*") for depth in depths]
            found = await self._requests.last_of(self._bucket.stream, subjects)
            if found:
                return sorted(found, key=lambda message: message.seq)
        return []


def _records(messages: Sequence[Message]) -> list[Record]:
    """Read the records among the messages, the last first."""
    kept = (message for message in reversed(messages) if not message.is_marker)
    return [record for message in kept if (record := _record(message.subject, message.data))]


def _record(key: str, data: bytes) -> Record | None:
    try:
        return decode_record(data)
    except DocumentError as error:
        _log.warning("a record cannot be read", action="record_unreadable", key=key, error=error.message)
        return None
