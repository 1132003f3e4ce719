"""Trying again: the one place that says how often and how long apart."""

from collections.abc import Awaitable, Callable
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


async def retrying(call: Callable[[], Awaitable[T]], policy: Retry, clock: Clock) -> T:
    """Call again while the answer is `Unavailable`; for calls that are harmless to repeat."""
    pause = policy.initial_backoff
    for _ in range(policy.attempts - 1):
        try:
            return await call()
        except Unavailable:
            await clock.sleep(pause)
            pause = min(pause * 2, policy.longest)
    return await call()
