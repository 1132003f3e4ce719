"""A clock that stands still until it is moved."""

from datetime import datetime, timedelta

import anyio.lowlevel

from tests.factories import NOON


class HandClock:
    """A `Clock` that the test moves; it starts at noon."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def advance(self, seconds: float) -> None:
        self._seconds += seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await anyio.lowlevel.checkpoint()
