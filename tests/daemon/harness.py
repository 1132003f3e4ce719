"""A small world on virtual time: one server in memory, any number of replicas, a client, and what they said."""

import itertools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from natsched.client.client import Client
from natsched.core.executions import Record
from natsched.daemon.events import Event, Observer, RunEnded, RunLeftOut, RunStarted
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.replica import Replica
from natsched.daemon.webhooks import Poster
from natsched.memory.backend import MemoryBackend
from natsched.protocol.changing import Settings
from natsched.protocol.operations import Operations
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from tests.virtual import VirtualClock, run_virtual

E = TypeVar("E", bound=Event)


class ServerlikeClock(VirtualClock):
    """A virtual clock that is the server's: there is nothing to follow."""

    def follow(self, base: float) -> None:
        pass

    def offset(self) -> timedelta:
        return timedelta(0)


@dataclass(slots=True)
class Member:
    """A replica of the world and the scope that a kill cancels."""

    replica: Replica
    scope: anyio.CancelScope

    def kill(self) -> None:
        """End it as `kill -9` does: nothing is written any more."""
        self.scope.cancel()


@dataclass(slots=True)
class World:
    clock: ServerlikeClock
    backend: MemoryBackend
    operations: Operations
    client: Client
    tasks: TaskGroup
    random: Callable[[], int]
    registry: Registry = field(default_factory=Registry)
    options: ReplicaOptions = field(default_factory=lambda: ReplicaOptions(name="r"))
    events: list[Event] = field(default_factory=list)
    calls: list[Context] = field(default_factory=list)
    poster: Poster | None = None
    observers: tuple[Observer, ...] = ()

    async def start(self, name: str = "r1", **changes: Any) -> Member:
        """Start a replica and return once it takes deliveries."""
        options = replace(self.options, name=name, **changes)
        replica = Replica(
            self.backend,
            self.clock,
            options,
            self.registry,
            self.operations,
            self.random,
            (self.events.append, *self.observers),
            poster=self.poster,
        )
        member = Member(replica, anyio.CancelScope())

        async def live(*, task_status: TaskStatus[None]) -> None:
            with member.scope:
                await replica.run(task_status=task_status)

        await self.tasks.start(live)
        return member

    def handler(self, name: str = "h", takes: float = 0.0, fails: Exception | None = None) -> None:
        """Register a handler that notes its calls, takes that many seconds and may fail."""

        async def run(ctx: Context) -> None:
            self.calls.append(ctx)
            await self.clock.sleep(takes)
            if fails is not None:
                raise fails

        self.registry.handler(name)(run)

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def starts(self) -> list[RunStarted]:
        return self.told(RunStarted)

    @property
    def ends(self) -> list[Record]:
        return [event.record for event in self.told(RunEnded)]

    @property
    def left_out(self) -> list[Record]:
        return [event.record for event in self.told(RunLeftOut)]

    def offsets(self, job: str) -> list[float]:
        """Return when the job's runs started, in seconds from the beginning of time."""
        epoch = self.clock.now() - timedelta(seconds=self.clock.monotonic())
        return [round((call.started_at - epoch).total_seconds(), 3) for call in self.calls if call.job_id == job]


@asynccontextmanager
async def world() -> AsyncGenerator[World, None]:
    clock = ServerlikeClock()
    numbers = itertools.count(1)
    async with MemoryBackend(clock, firing_delay=timedelta(milliseconds=200)) as backend:

        def random() -> int:
            return next(numbers)

        operations = Operations(backend, clock, Settings(), random)
        async with anyio.create_task_group() as tasks:
            yield World(
                clock=clock,
                backend=backend,
                operations=operations,
                client=Client(backend, operations, clock),
                tasks=tasks,
                random=random,
            )
            tasks.cancel_scope.cancel()


def in_a_world(test: Callable[[World], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Run an async test in a world of its own, on virtual time."""

    async def run() -> None:
        async with world() as one:
            await test(one)

    def on_virtual_time() -> None:
        run_virtual(run)

    on_virtual_time.__name__ = test.__name__
    return on_virtual_time
