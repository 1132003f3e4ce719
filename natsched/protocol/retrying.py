"""Trying again: the one place that says how often and how long apart."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from natsched.clock import Clock
from natsched.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Up to `attempts` tries, the first pause `initial_backoff` seconds, each further one twice as long."""

    attempts: int = 3
    initial_backoff: float = 1.0
    longest: float = 5.0

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to pause between the tries."""
        pause = self.initial_backoff
        for _ in range(self.attempts - 1):
            yield pause
            pause = min(pause * 2, self.longest)


async def retrying(call: Callable[[], Awaitable[T]], policy: Retry, clock: Clock) -> T:
    """Call again while the answer is `Unavailable`; for calls that are harmless to repeat."""
    pauses = policy.pauses()
    while True:
        try:
            return await call()
        except Unavailable:
            if (pause := next(pauses, None)) is None:
                raise
            await clock.sleep(pause)
