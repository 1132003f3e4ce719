"""The way of one party to the server, on which everything can go wrong: the ports of a backend, through a link.

A question or its answer takes its time, may be lost, and is while the link is cut. A party that is frozen hears
nothing and says nothing until it goes on; a dead one never again. Reads that need not be new may be old.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NoReturn, TypeVar

import anyio

from natsched.core.executions import Record
from natsched.core.hints import Hint, Pending
from natsched.core.jobs import Job, JobId, Stored
from natsched.errors import NatschedError, Unavailable
from natsched.memory.backend import MemoryBackend
from natsched.memory.intake import MemoryDelivery, MemoryIntake
from natsched.ports import Lock

T = TypeVar("T")

TIMEOUT: Final = 1.0
"""Seconds after which a question without an answer is given up."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """How likely what goes wrong is, for each question."""

    loss: float = 0.0
    slow: float = 0.0
    stale: float = 0.0
    strike: float = 0.0


@dataclass(slots=True, eq=False)
class Link:
    """One party's link."""

    random: Random
    weather: Weather
    cut_there: bool = False
    cut_back: bool = False
    dead: bool = False
    strike: Callable[[], None] = lambda: None
    """What befalls the party while it waits for an answer: so it is killed and frozen between any two steps."""

    _gate: anyio.Event = field(default_factory=anyio.Event)
    frozen: bool = False

    def freeze(self) -> None:
        self.frozen, self._gate = True, anyio.Event()

    def thaw(self) -> None:
        self.frozen = False
        self._gate.set()

    async def thawed(self) -> None:
        """Wait while the party is frozen; a dead one waits for ever."""
        while self.frozen or self.dead:
            if self.dead:
                await anyio.sleep_forever()
            await self._gate.wait()

    async def travel(self) -> None:
        seconds = self.random.uniform(0.0001, 0.002)
        if self.random.random() < self.weather.slow:
            seconds = self.random.uniform(0.05, 0.9)
        await anyio.sleep(seconds)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the server; the question may be lost, or only its answer."""
        await self.thawed()
        await self.travel()
        if self.cut_there or self.random.random() < self.weather.loss / 2:
            await self._silence()
        result: T | None = None
        error: NatschedError | None = None
        try:
            result = await call()
        except NatschedError as raised:
            error = raised
        if self.random.random() < self.weather.strike:
            self.strike()
        await self.travel()
        if self.cut_back or self.random.random() < self.weather.loss / 2:
            await self._silence()
        await self.thawed()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def says(self) -> bool:
        """Whether a word that waits for no answer comes through."""
        return not (self.dead or self.frozen or self.cut_there) and self.random.random() >= self.weather.loss / 2

    async def _silence(self) -> NoReturn:
        await anyio.sleep(TIMEOUT)
        await self.thawed()
        raise Unavailable


class LinkedJobs:
    """`ports.JobStore` over a link."""

    def __init__(self, server: MemoryBackend, link: Link, versions: dict[JobId, list[Stored]]) -> None:
        self._jobs, self._link, self._versions = server.jobs, link, versions

    async def read(self, job: JobId) -> Stored:
        return await self._link.ask(lambda: self._jobs.read(job))

    async def read_many(self, jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        found = await self._link.ask(lambda: self._jobs.read_many(jobs))
        return {job: self._perhaps_old(job, stored) for job, stored in found.items()}

    def _perhaps_old(self, job: JobId, stored: Stored) -> Stored:
        """Answer as a follower that is behind by a write or two."""
        known = self._versions.get(job, ())
        if len(known) > 1 and self._link.random.random() < self._link.weather.stale:
            return known[-min(len(known), self._link.random.choice((2, 2, 3)))]
        return stored

    async def write(self, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        async def write() -> int:
            revision = await self._jobs.write(job, expected=expected, ttl=ttl)
            self._note(Stored(id=job.id, job=job, revision=revision))
            return revision

        return await self._link.ask(write)

    async def delete(self, job: JobId, *, expected: int) -> None:
        async def delete() -> None:
            await self._jobs.delete(job, expected=expected)
            self._note(await self._jobs.read(job))

        await self._link.ask(delete)

    def _note(self, stored: Stored) -> None:
        known = self._versions.setdefault(stored.id, [])
        known.append(stored)
        del known[:-3]

    def scan(self, prefix: str = "", *, chunk: int = 256, after: int = 0) -> AsyncIterator[Sequence[Stored]]:
        return self._jobs.scan(prefix, chunk=chunk, after=after)

    @asynccontextmanager
    async def walk(self, *, chunk: int = 128) -> AsyncGenerator[AsyncIterator[Sequence[Stored]], None]:
        await self._link.ask(anyio.lowlevel.checkpoint)
        async with self._jobs.walk(chunk=chunk) as chunks:
            yield self._chunks(chunks)

    async def _chunks(self, chunks: AsyncIterator[Sequence[Stored]]) -> AsyncIterator[Sequence[Stored]]:
        async for chunk in chunks:
            await self._link.ask(anyio.lowlevel.checkpoint)
            yield chunk


class LinkedHints:
    """`ports.HintStream` over a link."""

    def __init__(self, server: MemoryBackend, link: Link) -> None:
        self._server, self._link = server, link

    async def schedule(self, hint: Hint, at: datetime, *, expected: int) -> int:
        return await self._link.ask(lambda: self._server.hints.schedule(hint, at, expected=expected))

    async def deliver(self, hint: Hint, *, once: str | None = None) -> None:
        await self._link.ask(lambda: self._server.hints.deliver(hint, once=once))

    async def scheduled(self, hints: Sequence[Hint]) -> Sequence[Pending | None]:
        return await self._link.ask(lambda: self._server.hints.scheduled(hints))

    async def scheduled_of(self, jobs: Sequence[JobId]) -> Mapping[JobId, Pending]:
        return await self._link.ask(lambda: self._server.hints.scheduled_of(jobs))

    async def delete(self, seq: int) -> None:
        await self._link.ask(lambda: self._server.hints.delete(seq))

    async def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Pending]]:
        async for pending in self._server.hints.walk(chunk=chunk):
            await self._link.ask(anyio.lowlevel.checkpoint)
            yield pending

    async def deliveries(self) -> Sequence[Pending]:
        return await self._link.ask(self._server.hints.deliveries)


class LinkedHistory:
    """`ports.History` over a link."""

    def __init__(self, server: MemoryBackend, link: Link) -> None:
        self._history, self._link = server.history, link

    async def create(self, record: Record, *, ttl: timedelta) -> bool:
        return await self._link.ask(lambda: self._history.create(record, ttl=ttl))

    async def get(self, job: str, execution: str, attempt: int) -> Record | None:
        return await self._link.ask(lambda: self._history.get(job, execution, attempt))

    async def list(
        self, job: str | None = None, execution: str | None = None, *, limit: int = 100
    ) -> Sequence[Record]:
        return await self._link.ask(lambda: self._history.list(job, execution, limit=limit))

    def follow(self, job: str | None = None, execution: str | None = None) -> Any:
        return self._history.follow(job, execution)


class LinkedLocks:
    """`ports.Locks` over a link."""

    def __init__(self, server: MemoryBackend, link: Link) -> None:
        self._locks, self._link = server.locks, link

    async def create(self, key: str, value: bytes, *, ttl: timedelta) -> Lock:
        return await self._link.ask(lambda: self._locks.create(key, value, ttl=ttl))

    async def renew(self, lock: Lock, value: bytes, *, ttl: timedelta) -> Lock:
        return await self._link.ask(lambda: self._locks.renew(lock, value, ttl=ttl))

    async def release(self, lock: Lock) -> None:
        await self._link.ask(lambda: self._locks.release(lock))

    async def put(self, key: str, value: bytes, *, ttl: timedelta) -> None:
        await self._link.ask(lambda: self._locks.put(key, value, ttl=ttl))

    async def get(self, key: str) -> tuple[bytes, int] | None:
        return await self._link.ask(lambda: self._locks.get(key))

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        return await self._link.ask(lambda: self._locks.list(prefix))

    @asynccontextmanager
    async def endings(self, prefix: str) -> AsyncGenerator[AsyncIterator[str], None]:
        async with self._locks.endings(prefix) as keys:
            yield self._through(keys)

    @asynccontextmanager
    async def settings(self, prefix: str) -> AsyncGenerator[AsyncIterator[str], None]:
        async with self._locks.settings(prefix) as keys:
            yield self._through(keys)

    async def _through(self, keys: AsyncIterator[str]) -> AsyncIterator[str]:
        """Pass on what comes through; after a cut, that something may have been overseen."""
        async for key in keys:
            await self._link.thawed()
            await self._link.travel()
            overseen = self._link.cut_back
            while self._link.cut_back:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.1)
            yield "" if overseen else key


@dataclass(frozen=True, slots=True, eq=False)
class LinkedDelivery:
    """`ports.Delivery` whose answers go over a link."""

    delivery: MemoryDelivery
    link: Link

    @property
    def hint(self) -> Hint | None:
        return self.delivery.hint

    @property
    def problem(self) -> str | None:
        return self.delivery.problem

    @property
    def seq(self) -> int:
        return self.delivery.seq

    @property
    def attempts(self) -> int:
        return self.delivery.attempts

    def ack(self) -> None:
        if self.link.says():
            self.delivery.ack()

    def nak(self, delay: timedelta | None = None) -> None:
        if self.link.says():
            self.delivery.nak(delay)

    def in_progress(self) -> None:
        if self.link.says():
            self.delivery.in_progress()


class LinkedIntake:
    """`ports.Intake` over a link: what is handed out while it is cut arrives nowhere."""

    def __init__(self, intake: MemoryIntake[MemoryDelivery], link: Link) -> None:
        self._intake, self._link = intake, link

    def want(self, room: int) -> None:
        self._intake.want(0 if self._link.dead else room)

    async def receive(self) -> Sequence[LinkedDelivery]:
        while True:
            deliveries = await self._intake.receive()
            await self._link.travel()
            cut = self._link.cut_back
            await self._link.thawed()
            if not cut:
                return [LinkedDelivery(delivery, self._link) for delivery in deliveries]
            self._intake.want(self._intake.room + len(deliveries))


class LinkedBackend:
    """`ports.Backend` over a link."""

    def __init__(self, server: MemoryBackend, link: Link, versions: dict[JobId, list[Stored]]) -> None:
        self._server, self._link = server, link
        self.jobs: Final = LinkedJobs(server, link, versions)
        self.hints: Final = LinkedHints(server, link)
        self.history: Final = LinkedHistory(server, link)
        self.locks: Final = LinkedLocks(server, link)
        self.messages: Final = server.messages
        self.outbox: Final = server.outbox

    @asynccontextmanager
    async def intake(self, queue: str) -> AsyncGenerator[LinkedIntake, None]:
        await self._link.ask(anyio.lowlevel.checkpoint)
        async with self._server.intake(queue) as intake:
            yield LinkedIntake(intake, self._link)

    @asynccontextmanager
    async def notices(self) -> AsyncGenerator[Any, None]:
        async with self._server.notices() as notices:
            yield notices

    async def server_time(self) -> datetime:
        return await self._link.ask(self._server.server_time)
