"""A small world on virtual time: one server in memory, any number of replicas, a client, and what they said."""

import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
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
from natsched.targets.registry import Registry
from natsched.testing.virtual import EPOCH, VirtualClock

E = TypeVar("E", bound=Event)
W = TypeVar("W", bound="World")


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
    """What there is; `events` is what the replicas said, in order, `began` the starts with their instants."""

    clock: ServerlikeClock
    backend: MemoryBackend
    operations: Operations
    client: Client
    tasks: TaskGroup
    random: Callable[[], int]
    registry: Registry = field(default_factory=Registry)
    options: ReplicaOptions = field(default_factory=lambda: ReplicaOptions(name="r"))
    events: list[Event] = field(default_factory=list)
    began: list[tuple[datetime, RunStarted]] = field(default_factory=list)
    poster: Poster | None = None
    observers: tuple[Observer, ...] = ()

    async def start(self, name: str = "r1", **changes: Any) -> Member:  # noqa: ANN401 - any option of a replica
        """Start a replica and return once it takes deliveries."""
        options = replace(self.options, name=name, **changes)
        replica = Replica(
            self.backend,
            self.clock,
            options,
            self.registry,
            self.operations,
            self.random,
            (self._note, *self.observers),
            poster=self.poster,
        )
        member = Member(replica, anyio.CancelScope())

        async def live(*, task_status: TaskStatus[None]) -> None:
            with member.scope:
                await replica.run(task_status=task_status)

        await self.tasks.start(live)
        return member

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RunStarted):
            self.began.append((self.clock.now(), event))

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def starts(self) -> Sequence[RunStarted]:
        return self.told(RunStarted)

    @property
    def ends(self) -> Sequence[Record]:
        return [event.record for event in self.told(RunEnded)]

    @property
    def left_out(self) -> Sequence[Record]:
        return [event.record for event in self.told(RunLeftOut)]


@asynccontextmanager
async def open_world(kind: type[W], *, epoch: datetime = EPOCH) -> AsyncGenerator[W, None]:
    """Give an empty world whose time begins at `epoch`; everything in it ends with the context."""
    clock = ServerlikeClock(epoch)
    numbers = itertools.count(1)
    async with MemoryBackend(clock, firing_delay=timedelta(milliseconds=200)) as backend:

        def random() -> int:
            return next(numbers)

        operations = Operations(backend, clock, Settings(), random)
        async with anyio.create_task_group() as tasks:
            yield kind(
                clock=clock,
                backend=backend,
                operations=operations,
                client=Client(backend, operations, clock),
                tasks=tasks,
                random=random,
            )
            tasks.cancel_scope.cancel()
