"""The lease that a replica lives by.

One key, `lease.<replica>.<incarnation>`, with a TTL, renewed well within it. What the replica runs is alive
while that key is there, so no run renews anything and no clocks are compared. A replica that could not renew
for its TTL stops what it runs before it goes on, and takes a new incarnation: an old one never comes back.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import anyio
from anyio.abc import TaskStatus

from natsched.clock import Clock
from natsched.core.ids import ulid
from natsched.core.jobs import LeaseId
from natsched.errors import BackendError, Conflict, Unavailable
from natsched.logs import get_logger
from natsched.ports import Lock, Locks
from natsched.protocol.telling import LEASES

PRIMARY: Final = "reconciler"
"""The lock that one replica holds; its value is that replica's lease."""

_RENEW_AT: Final = 0.3
_SHORTEST_PAUSE: Final = 0.1
_NO_LEASE: Final = (ValueError, KeyError, TypeError, RecursionError)
"""What reading the value of a lease raises that no replica wrote."""

log = get_logger(__name__)


class Leaseholder:
    """Holds this replica's lease; `lost` is called, at once, when it can no longer prove that it lives."""

    def __init__(
        self,
        locks: Locks,
        clock: Clock,
        *,
        replica: str,
        ttl: timedelta,
        about: dict[str, object],
        random: Callable[[], int],
    ) -> None:
        self._locks = locks
        self._clock = clock
        self._replica = replica
        self._ttl = ttl
        self._about = about
        self._random = random
        self._lock: Lock | None = None
        self._until = -math.inf
        self.lost: Callable[[], None] = lambda: None

    @property
    def lease(self) -> LeaseId:
        """The key of the current incarnation."""
        return LeaseId("" if self._lock is None else self._lock.key)

    def is_held(self) -> bool:
        """Whether the lease surely lives: looked at after any suspension, before a start and before a finish."""
        return self._clock.monotonic() < self._until

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take a lease and renew it for ever; started once the first one is held."""
        await self._take()
        task_status.started()
        while True:
            left = self._left()  # much less than the TTL where the taking waited for a connection
            await self._clock.sleep(min(max(left * _RENEW_AT, _SHORTEST_PAUSE), left))
            if self._left() > 0 and await self._renew(min(self._ttl.total_seconds() * _RENEW_AT, self._left())):
                continue
            if not self.is_held():
                log.warning("the lease is lost", action="lease_lost", lease=self.lease)
                former = self._lock
                self.lost()
                await self._take()
                await self._end(former)

    async def _end(self, former: Lock | None) -> None:
        """End a lease that was lost: a renewal that nobody answered may have come through with the connection."""
        if former is None:
            return
        with anyio.move_on_after(self._left() * _RENEW_AT):
            try:
                found = await self._locks.get(former.key)
                if found is not None:
                    await self._locks.release(Lock(key=former.key, revision=found[1]))
            except BackendError as error:
                log.debug("the lost lease ends by itself", action="lease_left", lease=former.key, error=str(error))

    def _left(self) -> float:
        return max(0.0, self._until - self._clock.monotonic())

    async def give_up(self) -> None:
        """End the lease, so that what is left is taken over at once."""
        lock, self._lock, self._until = self._lock, None, -math.inf
        if lock is not None:
            try:
                await self._locks.release(lock)
            except BackendError as error:
                log.info("the lease ends by itself", action="lease_left", lease=lock.key, error=str(error))

    async def _take(self) -> None:
        pause = 0.1
        while True:
            now = self._clock.now()
            key = f"{LEASES}.{self._replica}.{ulid(now, self._random())}"
            sent = self._clock.monotonic()
            try:
                self._lock = await self._locks.create(key, self._value(), ttl=self._ttl)
            except (Unavailable, Conflict) as error:
                log.warning("no lease yet", action="lease_wait", error=str(error))
                await self._clock.sleep(pause)
                pause = min(pause * 2, 2.0)
                continue
            self._until = sent + self._ttl.total_seconds()
            log.debug("lease taken", action="lease_taken", lease=key)
            return

    async def _renew(self, limit: float) -> bool:
        """Renew once; a lost answer leaves a revision of our own, which the next try finds and goes on from."""
        assert self._lock is not None
        sent = self._clock.monotonic()
        with anyio.move_on_after(limit):
            try:
                self._lock = await self._locks.renew(self._lock, self._value(), ttl=self._ttl)
            except Unavailable:
                return False
            except Conflict:
                return await self._rejoin()
            self._until = sent + self._ttl.total_seconds()
            return True
        return False

    async def _rejoin(self) -> bool:
        assert self._lock is not None
        sent = self._clock.monotonic()
        try:
            found = await self._locks.get(self._lock.key)
            if found is None:
                self._until = -math.inf
                return False
            lock = Lock(key=self._lock.key, revision=found[1])
            self._lock = await self._locks.renew(lock, self._value(), ttl=self._ttl)
        except (Unavailable, Conflict):
            return False
        self._until = sent + self._ttl.total_seconds()
        return True

    def _value(self) -> bytes:
        return json.dumps(self._about).encode()


async def living(locks: Locks) -> frozenset[LeaseId]:
    """Return the leases that live, as far as whoever answers knows."""
    return frozenset(LeaseId(key) for key in await locks.list(LEASES))


async def serving(locks: Locks, queue: str) -> frozenset[LeaseId]:
    """Return the leases of replicas that serve a queue, as far as whoever answers knows."""
    found = set()
    for key, value in (await locks.list(LEASES)).items():
        try:
            if queue in json.loads(value)["queues"]:
                found.add(LeaseId(key))
        except _NO_LEASE:
            continue
    return frozenset(found)


async def primary(locks: Locks) -> LeaseId | None:
    """Return the lease of the replica that reconciles: of all replicas one, for as long as it lives."""
    found = await locks.get(PRIMARY)
    return None if found is None else LeaseId(found[0].decode(errors="replace"))


async def zone_data(locks: Locks) -> Mapping[str, tuple[str, ...]]:
    """Return the versions of the zone data that living replicas work with, and which replicas have each."""
    found: dict[str, tuple[str, ...]] = {}
    for value in (await locks.list(LEASES)).values():
        try:
            about = json.loads(value)
            tzdata, replica = str(about["tzdata"]), str(about["replica"])
        except _NO_LEASE:
            continue
        found[tzdata] = (*found.get(tzdata, ()), replica)
    return found


async def is_alive(locks: Locks, lease: LeaseId) -> bool:
    """Ask the leader whether a lease lives."""
    return await locks.get(lease) is not None
