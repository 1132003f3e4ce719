"""Keeping deliveries, from their arrival to the answer that each gets.

What is held or runs for longer than half of `ack_wait` is reported as in progress.
"""

from datetime import timedelta

import anyio

from natsched.clock import Clock
from natsched.daemon.agenda import Held


class Keeper:
    """Knows every delivery in this replica's hands, and keeps each from coming again while it is."""

    def __init__(self, clock: Clock, *, ack_wait: timedelta) -> None:
        self._clock = clock
        self._half = ack_wait.total_seconds() / 2
        self._kept: dict[int, Held] = {}
        self._change = anyio.Event()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, held: Held) -> None:
        held.touched = self._clock.monotonic()
        self._kept[id(held)] = held

    def ack(self, held: Held) -> None:
        """Say that a delivery has done its work."""
        if self.leave(held):
            held.delivery.ack()

    def nak(self, held: Held, delay: timedelta | None = None) -> None:
        """Hand a delivery back."""
        if self.leave(held):
            held.delivery.nak(delay)

    def leave(self, held: Held) -> bool:
        """Say nothing, so that a delivery comes again by itself; False if it had its answer."""
        if self._kept.pop(id(held), None) is None:
            return False
        self._change.set()
        return True

    async def changed(self) -> None:
        """Wait until something had its answer, or `stir` was called; any number may wait."""
        if self._change.is_set():
            self._change = anyio.Event()
        await self._change.wait()

    def stir(self) -> None:
        """Have those who wait for a change look again."""
        self._change.set()

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await self._clock.sleep(self._half / 2)
            now = self._clock.monotonic()
            for held in self._kept.values():
                if now - held.touched >= self._half:
                    held.delivery.in_progress()
                    held.touched = now
