"""Once: of many that want the same work done, one does it, and if it dies another does.

Theory of operation. The lock is a key that ends by itself: taken with a TTL, renewed with that TTL every third
of it by a task beside the work, released after it. Its value names the holder, so that a create whose answer
was lost is known again. Three things can happen to a holder:

* It dies: nobody renews, the key ends by time, and a waiter takes it. Half-done work is done again, so `work`
  must compare before it writes.
* It cannot renew for a whole TTL (its own monotonic clock, counted from before the last renewal was sent, so
  the key cannot have ended earlier), or finds that the key went to another: the work is cancelled and
  `LockLost` raised. What it had sent may still arrive: again `work` must stand that.
* Its work fails: the lock is released, the error is its caller's alone, and the next waiter tries.

A waiter follows the key's ending and takes the lock then. An ending that was overseen costs at most one TTL,
after which it looks again. The `done` marker is a shortcut for waiters alone: one that finds a marker with its own
fingerprint, written while it waited, goes home without the lock, since that holder did just what it would do.
Whoever finds the lock free works, whatever a marker says: the marker is never trusted over what is there.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

from anyio import CancelScope, create_task_group

from natsched.clock import Clock
from natsched.errors import BackendError, Conflict, LockLost, NatschedError, Unavailable
from natsched.logs import get_logger
from natsched.ports import Lock, Locks

T = TypeVar("T")
Attendant = Callable[[], Awaitable[NatschedError]]

DONE_TTL: Final = timedelta(hours=1)
RENEWALS: Final = 3
"""How many renewals fit into one TTL."""

_RETRY_PAUSE: Final = 0.25
_log: Final = get_logger(__name__)


class Outcome(StrEnum):
    """Who did the work."""

    OURS = "ours"
    OTHERS = "others"


async def once(
    locks: Locks,
    clock: Clock,
    key: str,
    work: Callable[[], Awaitable[None]],
    *,
    owner: str,
    fingerprint: str,
    ttl: timedelta,
    deadline: timedelta,
) -> Outcome:
    """Do the work under the distributed lock `key`, or return when another has done the same.

    `owner` must be new for each call. Raise `Unavailable` after `deadline`, `LockLost`, or what `work` raises.
    """
    single = _Once(locks, clock, key, owner=owner, fingerprint=fingerprint, ttl=ttl)

    async def late() -> NatschedError:
        await clock.sleep(deadline.total_seconds())
        return Unavailable(f"The lock {key!r} and the work under it took more than {deadline}.", key=key)

    return await _attended(lambda: single.run(work), late)


class _Once:
    def __init__(self, locks: Locks, clock: Clock, key: str, *, owner: str, fingerprint: str, ttl: timedelta) -> None:
        self._locks = locks
        self._clock = clock
        self._key = f"{key}.lock"
        self._done_key = f"{key}.done"
        self._value = owner.encode()
        self._fingerprint = fingerprint.encode()
        self._ttl = ttl
        self._renewed = 0.0
        self._lock: Lock

    async def run(self, work: Callable[[], Awaitable[None]]) -> Outcome:
        done_before = await self._insist(self._done)
        while not await self._insist(self._take):
            _log.debug("Another replica holds the lock, wait.", key=self._key)
            await self._wait()
            done = await self._insist(self._done)
            if done != done_before and done is not None and done[0] == self._fingerprint:
                return Outcome.OTHERS
        try:
            await _attended(work, self._renew, self._expire)
            await self._mark_done()
        finally:
            with CancelScope(shield=True):  # as long as the time limit of two requests
                await self._release()
        return Outcome.OURS

    async def _take(self) -> bool:
        self._renewed = self._clock.monotonic()
        try:
            self._lock = await self._locks.create(self._key, self._value, ttl=self._ttl)
        except Conflict:
            return await self._take_over_own()
        return True

    async def _take_over_own(self) -> bool:
        """Hold on to what an earlier create, whose answer was lost, had made."""
        held = await self._locks.get(self._key)
        if held is None or held[0] != self._value:
            return False
        self._lock = await self._locks.renew(Lock(key=self._key, revision=held[1]), self._value, ttl=self._ttl)
        return True

    async def _done(self) -> tuple[bytes, int] | None:
        return await self._locks.get(self._done_key)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call again while nothing answers; the deadline ends it."""
        while True:
            try:
                return await call()
            except (Unavailable, Conflict) as error:
                _log.debug("The lock cannot be asked for now.", key=self._key, error=str(error))
                await self._clock.sleep(_RETRY_PAUSE)

    async def _wait(self) -> None:
        """Return when the lock ended, or may have, or after a TTL."""
        try:
            async with self._locks.endings(self._key) as endings:
                if await self._locks.get(self._key) is None:
                    return

                async def follow() -> None:
                    try:
                        async for _ in endings:
                            break
                    except BackendError:
                        return
                    waiting.cancel_scope.cancel()

                async with create_task_group() as waiting:
                    waiting.start_soon(follow, name="follow the lock's ending")
                    await self._clock.sleep(self._ttl.total_seconds())
                    waiting.cancel_scope.cancel()
        except Unavailable as error:
            _log.debug("The lock's ending cannot be followed now.", key=self._key, error=str(error))
            await self._clock.sleep(_RETRY_PAUSE)

    async def _renew(self) -> NatschedError:
        """Renew for ever; return what ended that."""
        pause = period = self._ttl.total_seconds() / RENEWALS
        while True:
            await self._clock.sleep(pause)
            sent = self._clock.monotonic()
            try:
                with CancelScope(shield=True):  # one request, so that the revision is known for the release
                    self._lock = await self._locks.renew(self._lock, self._value, ttl=self._ttl)
            except Unavailable:
                pause = min(_RETRY_PAUSE, period)  # perhaps written: then the next one conflicts with ourselves
            except Conflict:
                if not await self._recognise():
                    return LockLost(key=self._key)
                pause = 0.0
            else:
                self._renewed = sent
                pause = period

    async def _recognise(self) -> bool:
        """Say whether the key is still ours, by a renewal whose answer was lost."""
        try:
            held = await self._locks.get(self._key)
        except Unavailable:
            return True  # not known: the TTL decides
        if held is None or held[0] != self._value:
            return False
        self._lock = Lock(key=self._key, revision=held[1])
        return True

    async def _expire(self) -> NatschedError:
        """Return when the last renewal that is known is a whole TTL ago."""
        while (left := self._renewed + self._ttl.total_seconds() - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        return LockLost(
            f"The lock {self._key!r} could not be renewed in time: another replica may hold it.", key=self._key
        )

    async def _mark_done(self) -> None:
        try:
            done = await self._done()
            if done is None:
                await self._locks.create(self._done_key, self._fingerprint, ttl=DONE_TTL)
            else:
                lock = Lock(key=self._done_key, revision=done[1])
                await self._locks.renew(lock, self._fingerprint, ttl=DONE_TTL)
        except (Conflict, Unavailable) as error:
            _log.debug("The done marker was not written, waiters do without.", key=self._key, error=str(error))

    async def _release(self) -> None:
        try:
            if await self._recognise():
                await self._locks.release(self._lock)
        except (Conflict, Unavailable) as error:
            _log.debug("The lock was not released, its time ends it.", key=self._key, error=str(error))


async def _attended(work: Callable[[], Awaitable[T]], *attendants: Attendant) -> T:
    """Do the work with attendants beside it: the first of them that returns cancels it, its error is raised."""
    verdicts: list[NatschedError] = []
    results: list[T] = []
    failures: list[Exception] = []

    async def attend(attendant: Attendant) -> None:
        verdicts.append(await attendant())
        tasks.cancel_scope.cancel()

    async with create_task_group() as tasks:
        for attendant in attendants:
            tasks.start_soon(attend, attendant)
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - raised below as it is, not in a group
            failures.append(error)
        tasks.cancel_scope.cancel()
    for failure in failures:
        raise failure
    if results:
        return results[0]
    raise verdicts[0]
