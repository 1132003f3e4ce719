"""How an execution that failed is tried again: how often, after which failures, how much later."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from natsched.core.executions import STORED

Backoff: TypeAlias = Literal["fixed", "exponential"]

MAX_ATTEMPTS: Final = 1000
LONGEST: Final = 365 * 86400.0
"""Seconds that a retry may be put off at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Up to `max_attempts` attempts in all, each later than the one before it by `backoff`.

    `fixed` waits `base` seconds each time, `exponential` `base * factor ** n` before the (n+2)th attempt, never more
    than `max_delay`. `jitter` is the share of a delay that is left to chance, from 0 to 1: the same on all
    replicas, but different for each execution, so that what failed together does not come back together.
    `retry_on` names what is worth another attempt: exceptions by the names of their classes or of a base of
    those, and the statuses `failed` and `timed_out`; where it is empty, everything is. With `reset_on_success` false
    a success does not set the job's count of failures back, by which `auto_pause_after` pauses it.
    """

    __pydantic_config__ = STORED

    max_attempts: int = 3
    backoff: Backoff = "exponential"
    base: float = 1.0
    factor: float = 2.0
    max_delay: float = 3600.0
    jitter: float = 0.1
    retry_on: tuple[str, ...] = ()
    reset_on_success: bool = True

    def covers(self, names: tuple[str, ...]) -> bool:
        """Whether a failure that goes by these names is worth another attempt."""
        return not self.retry_on or not set(self.retry_on).isdisjoint(names)


def delay_of(policy: RetryPolicy, execution: str, attempt: int) -> timedelta:
    """Return how long after attempt `attempt` (from 1) ended the next one starts."""
    seconds = policy.base
    if policy.backoff == "exponential":
        try:
            seconds *= policy.factor ** (attempt - 1)
        except OverflowError:
            seconds = LONGEST
    seconds = min(seconds, policy.max_delay, LONGEST)
    digest = blake2b(f"{execution} {attempt}".encode(), digest_size=8).digest()
    chance = int.from_bytes(digest) / 2**64
    return timedelta(seconds=seconds * (1 - policy.jitter * chance))
