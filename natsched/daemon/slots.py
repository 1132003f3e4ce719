"""How many executions of a queue run here at once."""

from collections import deque
from datetime import datetime

import anyio

from natsched.clock import Clock


class Slots:
    """A queue's places for running executions; those who wait get them in order."""

    def __init__(self, number: int, clock: Clock) -> None:
        self._free = number
        self._clock = clock
        self._waiting: deque[anyio.Event] = deque()

    @property
    def free(self) -> int:
        return self._free

    def take(self) -> bool:
        """Take a place if one is free now."""
        if self._free == 0 or self._waiting:
            return False
        self._free -= 1
        return True

    async def acquire(self, until: datetime) -> bool:
        """Take a place, waiting for one until that instant; False if none came free."""
        if self.take():
            return True
        place = anyio.Event()
        self._waiting.append(place)
        try:
            with anyio.move_on_after((until - self._clock.now()).total_seconds()):
                await place.wait()
        except BaseException:
            if place.is_set():
                self.release()
            raise
        finally:
            if not place.is_set():
                self._waiting.remove(place)
        return place.is_set()

    def release(self) -> None:
        """Give a place back, to the next that waits if there is one."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1
