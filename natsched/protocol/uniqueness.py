"""Keys that a job may be submitted under only once within a window.

The key is a lock of its own, `unique.<digest>`. Until the job is written it is held for a moment only, so that a
death in between frees it; then for the window.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from natsched.errors import BackendError, Conflict, InvalidJob, JobExists
from natsched.ports import Locks

MAX_KEY: Final = 500
SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=3650)
_WRITING: Final = timedelta(seconds=15)


@asynccontextmanager
async def unique(locks: Locks, key: str, window: timedelta, job: str) -> AsyncGenerator[None, None]:
    """Write a job within the block; JobExists, with the other's id, if one was submitted under the key."""
    if not key or len(key) > MAX_KEY:
        raise InvalidJob(f"take 1 to {MAX_KEY} characters", field="unique_key")
    if not SHORTEST <= window <= LONGEST:
        raise InvalidJob(f"{window} is no window: take 1 s to 3650 days", field="unique_for")
    name = f"unique.{blake2b(key.encode(), digest_size=16).hexdigest()}"
    try:
        lock = await locks.create(name, job.encode(), ttl=_WRITING)
    except Conflict:
        found = await locks.get(name)
        other = found[0].decode(errors="replace") if found is not None else "another"
        raise JobExists(
            f"unique_key: the job {other} was submitted under {key!r} within the window", job=other
        ) from None
    try:
        yield
    except BaseException:
        with suppress(BackendError):  # it is free in a moment by itself
            await locks.release(lock)
        raise
    await locks.renew(lock, job.encode(), ttl=window)
