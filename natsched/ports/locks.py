"""Keys that are held for a while."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A held key of the locks bucket."""

    key: str
    revision: int


class Locks(Protocol):
    """Keys that go away by themselves unless they are renewed."""

    async def create(self, key: str, value: bytes, *, ttl: timedelta) -> Lock:
        """Take a key that nobody holds, else raise `Conflict`."""
        ...

    async def renew(self, lock: Lock, value: bytes, *, ttl: timedelta) -> Lock:
        """Hold on for another `ttl`; `Conflict` if it went to somebody else or ran out."""
        ...

    async def release(self, lock: Lock) -> None:
        """Give the key back; `Conflict` if it is held no more."""
        ...

    async def put(self, key: str, value: bytes, *, ttl: timedelta) -> None:
        """Set a key that is nobody's lock: the last writer's value stays, for `ttl`."""
        ...

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """Read value and revision from the leader; None if nobody holds the key."""
        ...

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        """Return the held keys at and below `prefix` (whole tokens) with their values."""
        ...

    def endings(self, prefix: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Follow the keys at and below `prefix` that end, by release or by time, from the moment it is entered.

        An empty string means: the view was lost for a while, something may have been overseen.
        """
        ...

    def settings(self, prefix: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Follow the keys at and below `prefix` that are set; otherwise as `endings`."""
        ...
