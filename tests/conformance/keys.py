"""Operations on `ports.Locks`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import anyio
from hypothesis import strategies as st

from natsched.ports import Lock
from tests.conformance.world import HOUR, MOMENT, PATIENCE, Answer, Operation, World, mixed

KEYS: Final = ("lease", "lease.a", "lease.a.x", "lease.ab", "once")
PREFIXES: Final = ("", "lease", "lease.a", "once", "none")
_STREAM: Final = "locks"
_LAST: Final = "zz-last"


def _kept(world: World, lock: Lock) -> Answer:
    world.locks.append(lock)
    return lock.key, world.written(_STREAM, lock.key, lock.revision)


@dataclass(frozen=True, slots=True)
class Take:
    key: str
    value: bytes
    ttl: timedelta

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return _kept(world, await world.backend.locks.create(self.key, self.value, ttl=self.ttl))


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew one of the locks that were ever had."""

    index: int
    value: bytes
    ttl: timedelta

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if not world.locks:
            return None
        lock = world.locks[-1 - self.index % len(world.locks)]
        return _kept(world, await world.backend.locks.renew(lock, self.value, ttl=self.ttl))


@dataclass(frozen=True, slots=True)
class Release:
    """Release one of the locks that were ever had."""

    index: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if world.locks:
            await world.backend.locks.release(world.locks[-1 - self.index % len(world.locks)])
        return "released"


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    ttl: timedelta

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.backend.locks.put(self.key, self.value, ttl=self.ttl)
        return "put"


@dataclass(frozen=True, slots=True)
class Get:
    key: str

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        found = await world.backend.locks.get(self.key)
        return found and (found[0], world.number(_STREAM, found[1]))


@dataclass(frozen=True, slots=True)
class List:
    prefix: str

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return dict(await world.backend.locks.list(self.prefix))


@dataclass(frozen=True, slots=True)
class Purge:
    """Take a key away from behind, as an operator does."""

    key: str

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.server.purge("locks", self.key)
        return "purged"


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow from here to the end of the play."""

    what: Literal["endings", "settings"]
    prefix: str

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if len(world.followed) < 2:
            locks = world.backend.locks
            following = (locks.endings if self.what == "endings" else locks.settings)(self.prefix)
            world.followed.append((self, await world.contexts.enter_async_context(following)))
        return "followed"


@dataclass(frozen=True, slots=True)
class Followed:
    """Tell what was followed: the keys that are still as was told.

    A bucket keeps one message for each key, so what is followed is spared what was replaced before it was sent.
    """

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        told: list[list[str]] = []
        for index, (follow, keys) in enumerate(world.followed):
            last = f"{follow.prefix or 'all'}.{_LAST}-{index}"
            lock = await world.backend.locks.create(last, b"", ttl=HOUR)
            if follow.what == "endings":
                await world.backend.locks.release(lock)
            heard = await _heard(keys, last)
            held = await world.backend.locks.list("")
            told.append(sorted(key for key in heard if (key in held) is (follow.what == "settings")))
        return told


async def _heard(keys: AsyncIterator[str], last: str) -> set[str]:
    heard: set[str] = set()
    with anyio.move_on_after(PATIENCE):
        async for key in keys:
            heard.add(key)
            if key == last:
                break
    return heard - {""}


def keys(*, ends: bool = False) -> st.SearchStrategy[Operation]:
    """Draw operations; with `ends` some keys live for a moment."""
    names, values = st.sampled_from(KEYS), st.binary(max_size=3)
    lives = st.sampled_from((HOUR, MOMENT) if ends else (HOUR,))
    prefixes, index = st.sampled_from(PREFIXES), st.integers(0, 3)
    return mixed(
        (4, st.builds(Take, names, values, lives)),
        (3, st.builds(Renew, index, values, lives)),
        (2, st.builds(Release, index)),
        (1, st.builds(Put, names, values, lives)),
        (1, st.builds(Get, names)),
        (1, st.builds(List, prefixes)),
        (1, st.builds(Purge, names)),
        (1, st.builds(Follow, st.sampled_from(("endings", "settings")), prefixes)),
    )


LAST_KEYS: Final[tuple[Operation, ...]] = (*(Get(key) for key in KEYS), *(List(it) for it in PREFIXES), Followed())
