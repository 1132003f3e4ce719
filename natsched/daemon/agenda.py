"""What is held until it is due: one heap, one waiter, no task for each hint."""

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.hints import Hint
from natsched.core.pacing import beginning
from natsched.ports import Delivery

BATCH: Final = 64
REPLAN: Final = 0.05
_BUCKETS_A_SECOND: Final = 100


@dataclass(slots=True, eq=False)
class Held:
    """A delivery in this replica's hands, from its arrival to its acknowledgement."""

    delivery: Delivery
    hint: Hint
    since: float = 0.0
    touched: float = field(default=0.0)


class Agenda:
    """Holds hints until it is time to begin with them, in the order of their starts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Held]] = []
        self._put_off: list[tuple[float, int, Held]] = []
        self._numbers = 0
        self._buckets: Counter[int] = Counter()
        self._woken = anyio.Event()
        self._until = math.inf

    def __len__(self) -> int:
        return len(self._heap) + len(self._put_off)

    def put_off(self, held: Held, until: datetime) -> None:
        """Hold a hint until that instant, and no sooner: what begins early would only be put off again."""
        self._numbers += 1
        heapq.heappush(self._put_off, (until.timestamp(), self._numbers, held))
        self._woken.set()

    def add(self, held: Held) -> None:
        """Hold a hint until just before its start."""
        start = held.hint.start.timestamp()
        self._numbers += 1
        heapq.heappush(self._heap, (start, self._numbers, held))
        self._buckets[int(start * _BUCKETS_A_SECOND)] += 1
        if start < self._until:
            self._woken.set()

    async def due(self) -> list[Held]:
        """Wait until it is time to begin and return those to begin with, the earliest first, at least one.

        What arrives meanwhile is planned for at once if it starts before what is next, else when half of the time to
        that has passed: what starts later can hardly ask to begin so much sooner.
        """
        while True:
            pause, self._until = math.inf, math.inf
            now = self._clock.now().timestamp()
            if self._put_off:
                if self._put_off[0][0] <= now:
                    return self._pop_put_off(now)
                pause = self._put_off[0][0] - now
            plan = beginning(self._starts())
            if plan is not None:
                if plan.at <= now:
                    return self._pop(plan.until)
                pause = min(pause, plan.at - now)
                self._until = plan.until
            self._woken = anyio.Event()
            with anyio.move_on_after(pause if pause <= REPLAN else max(pause / 2, REPLAN)):
                await self._woken.wait()

    def empty(self) -> list[Held]:
        """Give up all that is held."""
        everything = [held for _, _, held in (*self._heap, *self._put_off)]
        self._heap.clear()
        self._put_off.clear()
        self._buckets.clear()
        return everything

    def _starts(self) -> list[tuple[float, int]]:
        """Return the starts in buckets; the first by its exact start, so that a lone hint is not begun early."""
        first = self._heap[0][0] if self._heap else 0.0
        return [(max(first, bucket / _BUCKETS_A_SECOND), number) for bucket, number in sorted(self._buckets.items())]

    def _pop_put_off(self, now: float) -> list[Held]:
        batch: list[Held] = []
        while self._put_off and len(batch) < BATCH and self._put_off[0][0] <= now:
            batch.append(heapq.heappop(self._put_off)[-1])
        return batch

    def _pop(self, until: float) -> list[Held]:
        batch: list[Held] = []
        edge = until + 1 / _BUCKETS_A_SECOND
        while self._heap and len(batch) < BATCH and self._heap[0][0] < edge:
            start, _, held = heapq.heappop(self._heap)
            bucket = int(start * _BUCKETS_A_SECOND)
            self._buckets[bucket] -= 1
            if not self._buckets[bucket]:
                del self._buckets[bucket]
            batch.append(held)
        return batch
