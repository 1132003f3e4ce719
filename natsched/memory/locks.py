"""The locks, as a KV bucket with a life for each key keeps them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from anyio.lowlevel import checkpoint

from natsched.errors import Conflict
from natsched.memory.stream import Message, Stream, below
from natsched.ports import Lock


class MemoryLocks:
    """`ports.Locks` in memory."""

    def __init__(self, bucket: Stream) -> None:
        self._bucket = bucket

    async def create(self, key: str, value: bytes, *, ttl: timedelta) -> Lock:
        await checkpoint()
        last = self._bucket.last(key)
        if last is not None and not last.marker:
            raise Conflict(f"{key} is held", key=key)
        return Lock(key=key, revision=self._bucket.put(key, value, ttl=ttl).seq)

    async def renew(self, lock: Lock, value: bytes, *, ttl: timedelta) -> Lock:
        await checkpoint()
        message = self._bucket.put(lock.key, value, expected=lock.revision, ttl=ttl)
        return Lock(key=lock.key, revision=message.seq)

    async def release(self, lock: Lock) -> None:
        await checkpoint()
        self._bucket.mark(lock.key, expected=lock.revision)

    async def put(self, key: str, value: bytes, *, ttl: timedelta) -> None:
        await checkpoint()
        self._bucket.put(key, value, ttl=ttl)

    async def get(self, key: str) -> tuple[bytes, int] | None:
        await checkpoint()
        last = self._bucket.last(key)
        return None if last is None or last.marker else (last.data, last.seq)

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        await checkpoint()
        return {m.subject: m.data for m in self._bucket.oldest() if below(m.subject, prefix) and not m.marker}

    @asynccontextmanager
    async def endings(self, prefix: str) -> AsyncGenerator[AsyncIterator[str], None]:
        def ends(message: Message) -> bool:
            return message.marker and below(message.subject, prefix)

        async with self._bucket.follow(ends) as markers:
            yield (marker.subject async for marker in markers)

    @asynccontextmanager
    async def settings(self, prefix: str) -> AsyncGenerator[AsyncIterator[str], None]:
        def is_set(message: Message) -> bool:
            return not message.marker and below(message.subject, prefix)

        async with self._bucket.follow(is_set) as messages:
            yield (message.subject async for message in messages)
