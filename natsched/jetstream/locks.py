"""The locks, as keys of a KV bucket that end by themselves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from natsched.errors import Conflict
from natsched.jetstream.buckets import Bucket
from natsched.jetstream.connection import Connection
from natsched.jetstream.following import Follower
from natsched.jetstream.requests import Requests
from natsched.ports import Lock

_CHUNK = 256


class LockBucket:
    """`ports.Locks` over a KV bucket with a life for each key, which the server ends with a marker."""

    def __init__(self, bucket: Bucket, connection: Connection, requests: Requests) -> None:
        self._bucket = bucket
        self._connection = connection
        self._requests = requests

    async def create(self, key: str, value: bytes, *, ttl: timedelta) -> Lock:
        try:
            return Lock(key=key, revision=await self._bucket.put(key, value, expected=0, ttl=ttl))
        except Conflict:
            last = await self._bucket.last(key)
            if last is not None and not last.is_marker:
                raise
        expected = last.seq if last else 0
        return Lock(key=key, revision=await self._bucket.put(key, value, expected=expected, ttl=ttl))

    async def renew(self, lock: Lock, value: bytes, *, ttl: timedelta) -> Lock:
        revision = await self._bucket.put(lock.key, value, expected=lock.revision, ttl=ttl)
        return Lock(key=lock.key, revision=revision)

    async def release(self, lock: Lock) -> None:
        await self._bucket.delete(lock.key, expected=lock.revision)

    async def put(self, key: str, value: bytes, *, ttl: timedelta) -> None:
        await self._bucket.put(key, value, expected=None, ttl=ttl)

    async def get(self, key: str) -> tuple[bytes, int] | None:
        last = await self._bucket.last(key)
        return None if last is None or last.is_marker else (last.data, last.seq)

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        held: dict[str, bytes] = {}
        async for part in self._bucket.walk(prefix, chunk=_CHUNK):
            held.update((key, message.data) for key, message in part.items())
        return held

    @asynccontextmanager
    async def endings(self, prefix: str) -> AsyncIterator[AsyncIterator[str]]:
        async with self._following(prefix) as followed:
            yield self._keys(followed, ended=True)

    @asynccontextmanager
    async def settings(self, prefix: str) -> AsyncIterator[AsyncIterator[str]]:
        async with self._following(prefix) as followed:
            yield self._keys(followed, ended=False)

    def _following(self, prefix: str) -> AbstractAsyncContextManager[Follower]:
        subjects = self._bucket.within(prefix)
        return Follower(self._connection, self._requests, self._bucket.stream, subjects).opened()

    async def _keys(self, followed: Follower, *, ended: bool) -> AsyncIterator[str]:
        async for message in followed:
            if message is None:
                yield ""
            elif message.is_marker is ended:
                yield self._bucket.key(message.subject)
