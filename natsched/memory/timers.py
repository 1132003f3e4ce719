"""What the memory server does by itself, in the order of time."""

import heapq
from collections.abc import Callable
from datetime import datetime

import anyio

from natsched.clock import Clock


class Timers:
    """Callbacks at instants of the clock, never early; those of one instant in the order of asking."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._asked = 0
        self._sooner = anyio.Event()

    def now(self) -> datetime:
        return self._clock.now()

    def at(self, when: datetime, callback: Callable[[], None]) -> None:
        """Call back at `when`, or in a moment if that has passed. There is no cancel: a callback looks."""
        self._asked += 1
        entry = (when, self._asked, callback)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._sooner.set()

    async def run(self) -> None:
        """Call back for ever."""
        while True:
            self._sooner = anyio.Event()
            self._call_due()
            if not self._heap:
                await self._sooner.wait()
                continue
            seconds = (self._heap[0][0] - self.now()).total_seconds()
            async with anyio.create_task_group() as race:
                race.start_soon(self._sleep, seconds, race.cancel_scope)
                await self._sooner.wait()
                race.cancel_scope.cancel()

    async def _sleep(self, seconds: float, race: anyio.CancelScope) -> None:
        await self._clock.sleep(max(seconds, 0))
        race.cancel()

    def _call_due(self) -> None:
        now = self.now()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
