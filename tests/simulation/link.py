"""The way of one party to the server, on which everything can go wrong: the ports of a backend, through a link.

A question or its answer takes its time, may be lost, and is while the link is cut. A party that is frozen hears
nothing and says nothing until it goes on; to a dead one nobody listens any more. Reads that need not be new may be
old.
"""

import asyncio
import math
from collections import Counter
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
from tests.simulation.drawing import Step
from tests.simulation.server import Ledger

T = TypeVar("T")

TIMEOUT: Final = 1.0
"""Seconds after which a question without an answer is given up."""


@dataclass(slots=True, eq=False)
class Link:
    """One party's link; what befalls it with its nth question, read, word or delivery is in `strikes`."""

    name: str
    random: Random
    strikes: Mapping[tuple[str, int], Step]
    counts: Counter[str] = field(default_factory=Counter)
    befall: Callable[[Step], None] = lambda _: None
    """Told of each strike that comes true: so the party is killed and frozen between any two of its steps."""

    cut_there: int = 0
    cut_back: int = 0
    frozen: int = 0
    """How many cuts and freezes last."""

    dead: bool = False
    touched: float = -math.inf
    """When a question of it last went wrong."""

    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def is_fit(self) -> bool:
        return not (self.dead or self.frozen or self.cut_there or self.cut_back)

    def freeze(self) -> None:
        self.frozen += 1

    def thaw(self) -> None:
        self.frozen -= 1
        self._change()

    def cut(self, *, there: bool, back: bool) -> None:
        self.cut_there += there
        self.cut_back += back

    def mend(self, *, there: bool, back: bool) -> None:
        self.cut_there -= there
        self.cut_back -= back
        self._change()

    def die(self) -> None:
        self.dead = True
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def thawed(self) -> None:
        """Wait while the party is frozen; a dead one is cancelled wherever it is, also in what it does at its end."""
        while self.frozen and not self.dead:
            await self._changed.wait()
        if self.dead:
            raise asyncio.CancelledError

    async def mended(self) -> bool:
        """Wait while nothing comes back; whether it had to."""
        if not self.cut_back:
            return False
        while self.cut_back and not self.dead:
            await self._changed.wait()
        return True

    def strike(self, what: str) -> Step | None:
        """Count one more, and return what befalls the party with it."""
        self.counts[what] += 1
        step = self.strikes.get((what, self.counts[what]))
        if step is not None:
            self.befall(step)
        return step

    async def travel(self) -> None:
        await anyio.sleep(self.random.uniform(0.0001, 0.002))

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the server; the question may be lost, or only its answer."""
        await self.thawed()
        self.counts["question"] += 1
        step = self.strikes.get(("question", self.counts["question"]))
        await self._way("question", step, is_cut=self.cut_there)
        result: T | None = None
        error: NatschedError | None = None
        try:
            result = await call()
        except NatschedError as raised:
            error = raised
        await self._way("answer", step, is_cut=self.cut_back)
        await self.thawed()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    async def _way(self, part: str, step: Step | None, *, is_cut: int) -> None:
        """Go to the server or back."""
        what = "" if step is None or part not in step.what else step.what
        if step is not None and what:
            self.befall(step)
        if is_cut or what.endswith("lost"):
            await self._silence()
        if step is not None and what.endswith("slow"):
            self.touched = max(self.touched, anyio.current_time())
            await anyio.sleep(step.lasts)
        if part == "question":  # all of the time that both ways take: half the timers
            await self.travel()
        if "with" in what:
            await self.thawed()

    def says(self) -> bool:
        """Whether a word that waits for no answer comes through."""
        return self.strike("word") is None and not (self.dead or self.frozen or self.cut_there)

    async def _silence(self) -> NoReturn:
        self.touched = max(self.touched, anyio.current_time())
        await anyio.sleep(TIMEOUT)
        await self.thawed()
        raise Unavailable


class LinkedJobs:
    """`ports.JobStore` over a link."""

    def __init__(self, server: MemoryBackend, link: Link, ledger: Ledger) -> None:
        self._jobs, self._link, self._ledger = server.jobs, link, ledger

    async def read(self, job: JobId) -> Stored:
        return await self._link.ask(lambda: self._jobs.read(job))

    async def read_many(self, jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        is_old = self._link.strike("read") is not None
        found = await self._link.ask(lambda: self._jobs.read_many(jobs))
        return {job: self._ledger.before(stored) for job, stored in found.items()} if is_old else found

    async def write(self, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        async def write() -> int:
            revision = await self._jobs.write(job, expected=expected, ttl=ttl)
            self._ledger.note(self._link.name, Stored(id=job.id, job=job, revision=revision))
            return revision

        return await self._link.ask(write)

    async def delete(self, job: JobId, *, expected: int) -> None:
        async def delete() -> None:
            await self._jobs.delete(job, expected=expected)
            self._ledger.note(self._link.name, Stored(id=job, job=None, revision=0))

        await self._link.ask(delete)

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

    def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Record]]:
        return self._history.walk(chunk=chunk)

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
            yield "" if await self._link.mended() else key


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
            is_cut = self._link.cut_back
            await self._link.thawed()
            if is_cut:
                self._intake.want(self._intake.room + len(deliveries))
            elif arrived := [delivery for delivery in deliveries if not self._is_held_back(delivery)]:
                return [LinkedDelivery(delivery, self._link) for delivery in arrived]

    def _is_held_back(self, delivery: MemoryDelivery) -> bool:
        step = self._link.strike("delivery")
        if step is not None:
            asyncio.get_running_loop().call_later(step.lasts, self._intake.take, delivery)
        return step is not None


class LinkedBackend:
    """`ports.Backend` over a link."""

    def __init__(self, server: MemoryBackend, link: Link, ledger: Ledger) -> None:
        self._server, self._link = server, link
        self.jobs: Final = LinkedJobs(server, link, ledger)
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
