"""How many executions of a queue run here at once."""

import heapq
from datetime import datetime

import anyio

from natsched.clock import Clock
from natsched.core.jobs import RANKS, Priority


class Slots:
    """A queue's places for running executions; those who wait get them by priority, equal ones in order."""

    def __init__(self, number: int, clock: Clock) -> None:
        self._number = number
        self._free = number
        self._clock = clock
        self._waiting: list[tuple[int, int, anyio.Event]] = []
        self._numbers = 0

    @property
    def number(self) -> int:
        return self._number

    @property
    def free(self) -> int:
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def resize(self, number: int) -> None:
        """Have so many places from now on; whoever has one that is no more keeps it to the end."""
        self._free += number - self._number
        self._number = number
        self._hand_out()

    def take(self) -> bool:
        """Take a place if one is free now."""
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    async def acquire(self, until: datetime | None = None, priority: Priority = "normal") -> bool:
        """Take a place, waiting for one until that instant; False if none came free."""
        if self.take():
            return True
        place = anyio.Event()
        self._numbers += 1
        waiting = (RANKS[priority], self._numbers, place)
        heapq.heappush(self._waiting, waiting)
        try:
            with anyio.move_on_after(None if until is None else (until - self._clock.now()).total_seconds()):
                await place.wait()
        except BaseException:
            if place.is_set():
                self.release()
            raise
        finally:
            if not place.is_set():
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)
        return place.is_set()

    def release(self) -> None:
        """Give a place back, to the next that waits if there is one."""
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._free > 0:
            self._free -= 1
            heapq.heappop(self._waiting)[-1].set()
