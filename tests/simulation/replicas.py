"""The replicas of a simulation: each with its link, its clock and handlers that say what they were called for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

from natsched.daemon.events import Event, LeaseLost, RunEnded
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.replica import Replica
from natsched.errors import LockLost, Unavailable
from natsched.protocol.changing import Settings
from natsched.protocol.once import once
from natsched.protocol.operations import Operations
from natsched.protocol.retrying import Retry
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from natsched.targets.signals import Abort
from natsched.targets.signals import Retry as Again
from natsched.testing import Absence
from tests.simulation.journal import Call, Journal, Work
from tests.simulation.link import Link, LinkedBackend
from tests.virtual import EPOCH, VirtualClock

LEASE: Final = timedelta(seconds=5)
_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)
PARTS: Final = ("stream", "jobs", "history")
"""What has to be made before a replica can start, one after the other, each in as long as a cluster may take."""

_MAKING: Final = 2.0


class MemberClock(VirtualClock):
    """A replica's clock: off the server's until it is compared with it, and with a drift of its own."""

    def __init__(self, link: Link, *, offset: float, drift: float) -> None:
        super().__init__()
        self._link = link
        self._rate = 1 + drift
        self._wall = (EPOCH - _UNIX).total_seconds() + offset
        self._base: float | None = None

    def monotonic(self) -> float:
        return super().monotonic() * self._rate

    def now(self) -> datetime:
        base = self._wall if self._base is None else self._base
        return _UNIX + timedelta(seconds=base + self.monotonic())

    def true(self) -> datetime:
        """Return the server's time."""
        return EPOCH + timedelta(seconds=super().monotonic())

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds, 0.0) / self._rate)
        await self._link.thawed()

    def set(self, by: float) -> None:
        """Set the wall clock of the machine."""
        self._wall += by

    def follow(self, base: float) -> None:
        self._base = base

    def offset(self) -> timedelta:
        return timedelta(seconds=0.0 if self._base is None else self._base - self._wall)


@dataclass(slots=True, eq=False)
class Member:
    """A replica, its link and the scope that a kill cancels."""

    name: str
    slot: str
    link: Link
    backend: LinkedBackend
    clock: MemberClock
    journal: Journal
    made: set[str]
    changed: Callable[[], None]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)
    is_up: bool = False
    replica: Replica = field(init=False)

    @property
    def is_fit(self) -> bool:
        return self.is_up and self.link.is_fit

    @property
    def is_primary(self) -> bool:
        return not self.link.dead and self.replica._services.reconciler.is_primary

    def build(self, random: Callable[[], int]) -> None:
        options = ReplicaOptions(
            name=self.name,
            lease_ttl=LEASE,
            shutdown_grace=timedelta(seconds=3),
            reconciler_interval=timedelta(seconds=8),
            reconciler_grace=timedelta(seconds=5),
            publish_retry=Retry(attempts=3, initial_backoff=0.3),
        )
        operations = Operations(self.backend, self.clock, Settings(), random)
        self.replica = Replica(
            self.backend, self.clock, options, self._registry(), operations, random, (self._observe,)
        )

    async def live(self) -> None:
        """Make what is missing and run, until somebody stops or kills it."""
        with self.scope:
            await self._provision()
            self._is(up=True)
            await self.replica.run()
        self.over.set()
        self._is(up=False)

    def _is(self, *, up: bool) -> None:
        self.is_up = up
        self.changed()

    async def _provision(self) -> None:
        """Do as a start does: what is missing is made under the once lock."""
        while True:
            try:
                if len(await self._there()) == len(PARTS):
                    return
                await once(
                    self.backend.locks,
                    self.clock,
                    "topology",
                    self._make,
                    owner=self.name,
                    fingerprint="topology",
                    ttl=LEASE,
                    deadline=timedelta(seconds=30),
                )
            except (Unavailable, LockLost):
                await self.clock.sleep(0.3)

    async def _there(self) -> frozenset[str]:
        async def look() -> frozenset[str]:
            return frozenset(self.made)

        return await self.link.ask(look)

    async def _make(self) -> None:
        since = self.clock.true()
        try:
            for part in PARTS:
                if part not in await self._there():

                    async def make(part: str = part) -> None:
                        self.made.add(part)

                    await self.clock.sleep(_MAKING)
                    await self.link.ask(make)
        finally:
            self.journal.works.append(Work(member=self.name, since=since, until=self.clock.true()))

    def _observe(self, event: Event) -> None:
        match event:
            case RunEnded(record=record):
                self.journal.noted[record.execution, record.attempt] = record
            case LeaseLost():
                self._lose_lease()

    def _lose_lease(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self.link.touched > 2 * LEASE.total_seconds():
            self.journal.faults.append(f"{self.name} lost its lease at {now:.3f} s for no reason")
        at = self.clock.true()
        self.journal.absences.append(Absence(replica=self.name, at=at - LEASE, back=at, frozen=False))

    def _registry(self) -> Registry:
        registry = Registry()

        @registry.default
        async def work(ctx: Context) -> None:
            call = Call(
                job=ctx.job_id,
                execution=ctx.execution_id,
                attempt=ctx.attempt,
                due=ctx.due,
                member=self.name,
                fence=ctx.fence,
                started=self.clock.true(),
            )
            self.journal.calls.append(call)
            how = "fails"
            try:
                await anyio.sleep(ctx.metadata["lasts"])
                await self.link.thawed()
                _fail(ctx)
                how = "returns"
            except anyio.get_cancelled_exc_class():
                how = "is cancelled"
                raise
            finally:
                if not self.link.dead:
                    call.ended, call.how = self.clock.true(), how

        return registry


def _fail(ctx: Context) -> None:
    match ctx.metadata["fails"]:
        case "always":
            raise OSError
        case "first" if ctx.attempt == 1:
            raise OSError
        case "retry" if ctx.attempt == 1:
            raise Again(after=1.0)
        case "abort":
            raise Abort
