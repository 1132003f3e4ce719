"""Keys that a job may be submitted under only once within a window.

The key is a lock of its own, `unique.<digest>`. Until the job is written it is held for a moment only, so that a
death in between frees it; then for the window.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from natsched.clock import Clock
from natsched.errors import BackendError, Conflict, InvalidJob, JobExists
from natsched.ports import Lock, Locks
from natsched.protocol.retrying import Retry, retrying

MAX_KEY: Final = 500
SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=3650)
_WRITING: Final = timedelta(seconds=15)


@asynccontextmanager
async def unique(
    locks: Locks, key: str, window: timedelta, job: str, *, retry: Retry, clock: Clock
) -> AsyncGenerator[None, None]:
    """Write a job within the block; JobExists, with the other's id, if one was submitted under the key.

    A key that has this job's id may be left by a try whose answer was lost: then the job tells whether it exists.
    """
    if not key or len(key) > MAX_KEY:
        raise InvalidJob(f"take 1 to {MAX_KEY} characters", field="unique_key")
    if not SHORTEST <= window <= LONGEST:
        raise InvalidJob(f"{window} is no window: take 1 s to 3650 days", field="unique_for")
    name, value = f"unique.{blake2b(key.encode(), digest_size=16).hexdigest()}", job.encode()
    is_new = True
    try:
        lock = await retrying(lambda: locks.create(name, value, ttl=_WRITING), retry, clock)
    except Conflict:
        found = await locks.get(name)
        if found is None or found[0] != value:
            other = found[0].decode(errors="replace") if found is not None else "another"
            raise JobExists(
                f"unique_key: the job {other} was submitted under {key!r} within the window", job=other
            ) from None
        lock, is_new = Lock(key=name, revision=found[1]), False
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(BackendError):  # it is free in a moment by itself
                await locks.release(lock)
        raise
    await retrying(lambda: _hold(locks, lock, value, window), retry, clock)


async def _hold(locks: Locks, lock: Lock, value: bytes, window: timedelta) -> None:
    """Hold the key for the window; it may have ended meanwhile, or be held since an answer that was lost."""
    try:
        await locks.renew(lock, value, ttl=window)
    except Conflict:
        with suppress(Conflict):
            await locks.create(lock.key, value, ttl=window)
