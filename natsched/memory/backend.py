"""The whole backend in memory: one object is the server, shared by all replicas of the process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from natsched.clock import Clock
from natsched.memory.hints import MemoryHints
from natsched.memory.history import MemoryHistory
from natsched.memory.intake import (
    Consumer,
    MemoryDelivery,
    MemoryIntake,
    MemoryNotice,
    notice_consumer,
    queue_consumer,
)
from natsched.memory.jobs import MemoryJobs
from natsched.memory.locks import MemoryLocks
from natsched.memory.messages import MemoryMessages
from natsched.memory.outbox import MemoryOutbox
from natsched.memory.stream import Stream
from natsched.memory.timers import Timers
from natsched.memory.window import Window


class Streams:
    """What the server stores, as bytes."""

    def __init__(self, timers: Timers, marker_ttl: timedelta) -> None:
        self.hints = Stream(timers)
        self.jobs = Stream(timers, marker_ttl=marker_ttl)
        self.history = Stream(timers)
        self.locks = Stream(timers, marker_ttl=marker_ttl)


class MemoryBackend:
    """`ports.Backend` in memory, to be entered: time passes for it only inside its context.

    Its clock is the server's. A schedule fires `firing_delay` after its instant, a delivery that nobody
    answers for is handed out again after `ack_wait`, a hint delivered twice within `duplicates_window` is
    kept once, and what was deleted or ran out leaves a marker for `marker_ttl`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        ack_wait: timedelta = timedelta(seconds=5),
        firing_delay: timedelta = timedelta(0),
        duplicates_window: timedelta = timedelta(minutes=2),
        marker_ttl: timedelta = timedelta(minutes=1),
    ) -> None:
        self._timers = Timers(clock)
        self._ack_wait = ack_wait
        self._consumers: dict[str, Consumer[MemoryDelivery]] = {}
        self._notices: Consumer[MemoryNotice] | None = None
        self._tasks: TaskGroup
        self.streams = streams = Streams(self._timers, marker_ttl)
        self.jobs = MemoryJobs(streams.jobs)
        self.history = MemoryHistory(streams.history)
        self.locks = MemoryLocks(streams.locks)
        self.messages = MemoryMessages(self._timers, duplicates_window=duplicates_window)
        window = Window(self._timers, duplicates_window)
        self.hints = MemoryHints(streams.hints, self._timers, window, firing_delay=firing_delay)
        self.outbox = MemoryOutbox(streams.hints, window)

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._timers.run, name="memory timers")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def intake(self, queue: str) -> AsyncGenerator[MemoryIntake[MemoryDelivery], None]:
        await checkpoint()
        if queue not in self._consumers:
            stream = self.streams.hints
            self._consumers[queue] = queue_consumer(queue, stream, self._timers, ack_wait=self._ack_wait)
        intake = MemoryIntake(self._consumers[queue])
        try:
            yield intake
        finally:
            intake.want(0)

    @asynccontextmanager
    async def notices(self) -> AsyncGenerator[MemoryIntake[MemoryNotice], None]:
        await checkpoint()
        if self._notices is None:
            self._notices = notice_consumer(self.streams.hints, self._timers, ack_wait=self._ack_wait)
        intake = MemoryIntake(self._notices)
        try:
            yield intake
        finally:
            intake.want(0)

    async def server_time(self) -> datetime:
        await checkpoint()
        return self._timers.now()
