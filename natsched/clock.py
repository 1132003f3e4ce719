"""The clocks: the only module that reads real time."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final, Protocol

_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What tells the time.

    `now` is the instant by the server's clock, as well as it is known here; `monotonic` counts seconds from
    some start, never backwards, through a suspension of the machine too.
    """

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class ServerClock(Clock, Protocol):
    """A clock that can be moved to the server's time."""

    def follow(self, base: float) -> None: ...
    def offset(self) -> timedelta: ...


class SystemClock:
    """The machine's clock, moved to the server's by `follow`.

    Until a first offset is known the machine's own wall clock stands in for the server's. After that steps of
    the wall clock change nothing: the server's time is counted on from the monotonic clock.
    """

    def __init__(self) -> None:
        self._base = time.time() - self.monotonic()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._base + time.clock_gettime(_BOOT), UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(_BOOT)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(ceil(seconds * 1000) / 1000)  # uvloop rounds to whole ones: the rest would be spun away

    def follow(self, base: float) -> None:
        """Count the server's time as `base` plus the monotonic clock, seconds since 1970."""
        self._base = base

    def offset(self) -> timedelta:
        """How far the server's clock is ahead of the machine's wall clock."""
        return timedelta(seconds=self._base + self.monotonic() - time.time())
