"""The troubles: what can befall replicas, servers and links, drawn from a seed, done and noted."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

import anyio

from natsched.errors import BackendError
from natsched.jetstream.server import EmbeddedServer
from tests.faults.link import Link
from tests.faults.machine import fill
from tests.faults.notes import Mishap, Notes, now
from tests.faults.site import Site


class Kind(StrEnum):
    """What can befall somebody."""

    KILL = "kill -9 of a replica"
    FREEZE = "SIGSTOP of a replica"
    ROLL = "restart of all replicas, one after another"
    CUT = "cut of a replica's link"
    DEAF = "cut of a replica's link, from the server alone"
    MUTE = "cut of a replica's link, to the server alone"
    RESET = "reset of a replica's connections"
    SLOW = "slow link of a replica"
    CLIENT = "cut of the client's link"
    CLOCK = "step of a replica's clock"
    SERVER_KILL = "kill -9 of a server"
    SERVER_STOP = "restart of a server"
    SERVER_FREEZE = "SIGSTOP of a server"
    LEADER_KILL = "kill -9 of the stream's leader"
    PARTITION = "cut of a server from the others"
    DISK = "full disk"


WEIGHTS: Final = {
    Kind.KILL: 4,
    Kind.FREEZE: 3,
    Kind.ROLL: 1,
    Kind.CUT: 2,
    Kind.DEAF: 1,
    Kind.MUTE: 1,
    Kind.RESET: 1,
    Kind.SLOW: 2,
    Kind.CLIENT: 1,
    Kind.CLOCK: 1,
    Kind.SERVER_KILL: 2,
    Kind.SERVER_STOP: 1,
    Kind.SERVER_FREEZE: 1,
    Kind.LEADER_KILL: 2,
    Kind.PARTITION: 2,
    Kind.DISK: 1,
}
OF_SERVERS: Final = {
    Kind.SERVER_KILL,
    Kind.SERVER_STOP,
    Kind.SERVER_FREEZE,
    Kind.LEADER_KILL,
    Kind.PARTITION,
    Kind.DISK,
}
LONGEST: Final = 9.0
"""Seconds: longer than a lease, and what is late by it is so within the time that is given for recovery."""

_REGAINED: Final = timedelta(seconds=1)
"""How long after its link is mended a replica may need to prove that it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One trouble of the sequence; `at` is in seconds from the beginning, `which` picks whom it befalls."""

    at: float
    kind: Kind
    seconds: float
    which: int

    def __str__(self) -> str:
        return f"at {self.at:.1f} s {self.kind}, {self.seconds:.1f} s"


def draw(random: Random, kinds: Sequence[Kind], *, seconds: float, calm: float) -> list[Trouble]:
    """Draw troubles for so many seconds: some come upon each other, before others all is `calm` for a while."""
    drawn: list[Trouble] = []
    at = random.uniform(1, 3)
    left = list(kinds)
    while at < seconds:
        if left:  # each once at least, if there is the time
            kind = left.pop(random.randrange(len(left)))
        else:
            kind = random.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
        lasts = random.choice((random.uniform(0.2, 3), random.uniform(3, LONGEST)))
        drawn.append(Trouble(at=at, kind=kind, seconds=lasts, which=random.randrange(1000)))
        at += random.choice((random.uniform(0.2, 4), lasts + calm * random.uniform(1, 1.5)))
    return drawn


@dataclass(slots=True)
class Troubles:
    """Does them. One replica is always spared, and of the servers one at a time is in trouble."""

    site: Site
    notes: Notes
    skewed: dict[str, Path] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _changed: anyio.Condition = field(default_factory=anyio.Condition)
    _server: anyio.Lock = field(default_factory=anyio.Lock)

    async def run(self, plan: Sequence[Trouble]) -> None:
        """Do all of a sequence, each at its time, and return when all is well again."""
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for trouble in plan:
                await anyio.sleep(max(began + trouble.at - anyio.current_time(), 0))
                tasks.start_soon(self._befall, trouble)

    async def _befall(self, trouble: Trouble) -> None:
        match trouble.kind:
            case Kind.ROLL:
                await self._roll(trouble)
            case Kind.CLIENT:
                at = now()
                await self._cut(self.site.client, "both", trouble.seconds)
                self._note(trouble, "the client", at)
            case Kind.CLOCK:
                await self._step(trouble)
            case kind if kind in OF_SERVERS:
                await self._server_in(trouble)
            case _:
                await self._replica_in(trouble)

    async def _replica_in(self, trouble: Trouble) -> None:
        async with self._some_replica(trouble.which) as name:
            who, at = self.site.identity(name), now()
            match trouble.kind:
                case Kind.KILL:
                    self.site.replicas[name].kill()
                    self.notes.absent(who, at)
                    await anyio.sleep(trouble.seconds)
                    await self.site.start(name)
                case Kind.FREEZE:
                    self.site.replicas[name].suspend()
                    await anyio.sleep(trouble.seconds)
                    self.site.replicas[name].send(signal.SIGCONT)
                    self.notes.absent(who, at, now())
                case _:
                    await self._link_in(trouble, self.site.links[name])
                    self.notes.absent(who, at, now() + _REGAINED, frozen=False)
            self._note(trouble, name, at)

    async def _link_in(self, trouble: Trouble, links: Sequence[Link]) -> None:
        match trouble.kind:
            case Kind.RESET:
                for link in links:
                    link.reset()
            case Kind.SLOW:
                for link in links:
                    link.up.delay = link.down.delay = 0.01 + trouble.which % 10 / 100
                await anyio.sleep(trouble.seconds)
                for link in links:
                    link.mend()
            case Kind.DEAF:
                await self._cut(links, "down", trouble.seconds)
            case Kind.MUTE:
                await self._cut(links, "up", trouble.seconds)
            case _:
                await self._cut(links, "both", trouble.seconds)

    async def _cut(self, links: Sequence[Link], way: str, seconds: float) -> None:
        for link in links:
            if way != "down":
                link.up.cut()
            if way != "up":
                link.down.cut()
        await anyio.sleep(seconds)
        for link in links:
            link.mend()

    async def _roll(self, trouble: Trouble) -> None:
        """Restart all, as a new version is brought out: nothing but the order excuses anything."""
        at = now()
        for name in list(self.site.replicas):
            async with self._this_replica(name):
                replica = self.site.replicas[name]
                replica.send(signal.SIGTERM)
                code = await replica.ended()
                if code != 0:
                    self.notes.wrong.append(
                        f"{now()}: {name} ended with {code} when it was told to:\n{replica.tail()}"
                    )
                self.site.upgrade(name)
                await self.site.start(name)
        self._note(trouble, "all replicas", at)

    async def _step(self, trouble: Trouble) -> None:
        """Move the wall clock of a replica that runs under libfaketime: this excuses nothing either."""
        name = sorted(self.skewed)[trouble.which % len(self.skewed)]
        offset = (-3600, -7.5, -0.4, 0.4, 2.5, 86_400)[trouble.which % 6]
        at = now()
        self.skewed[name].write_text(f"{offset:+}\n")
        self._note(trouble, f"{name} to {offset:+} s", at)

    async def _server_in(self, trouble: Trouble) -> None:
        async with self._server:
            node = self.site.nodes[trouble.which % self.site.copies]
            if trouble.kind is Kind.LEADER_KILL:
                node = await self.site.leader() or node
            at = now()
            try:
                await self._befall_server(trouble, node)
                await self.site.answering()
                self.notes.out(at, now())
                self._note(trouble, node.options.name, at)
                await self.site.whole()
            except (BackendError, AssertionError) as error:
                self.notes.wrong.append(f"{now()}: after {trouble.kind} of {node.options.name}: {error!r}")
                self.notes.out(at, now())

    async def _befall_server(self, trouble: Trouble, node: EmbeddedServer) -> None:
        match trouble.kind:
            case Kind.SERVER_STOP:
                await node.stop_async()
                await node.start_async()
            case Kind.SERVER_FREEZE:
                node.pause()
                await anyio.sleep(trouble.seconds)
                node.resume()
            case Kind.PARTITION:
                index = self.site.nodes.index(node)
                links = [link for ends, link in self.site.routes.items() if index in ends]
                await self._cut(links, "both", trouble.seconds)
            case Kind.DISK:
                await self._fill(trouble.seconds, node)
            case _:
                node.kill()
                await anyio.sleep(trouble.seconds)
                await node.start_async()

    async def _fill(self, seconds: float, node: EmbeddedServer) -> None:
        """Fill the disk, make room again, and restart the server: it has switched JetStream off by itself."""
        ballast = await anyio.to_thread.run_sync(fill, node.options.store)
        await anyio.sleep(seconds)
        ballast.unlink()
        await node.stop_async()
        await node.start_async()

    @asynccontextmanager
    async def _some_replica(self, which: int) -> AsyncIterator[str]:
        """Give a replica that nothing else befalls meanwhile."""
        names = sorted(self.site.replicas)
        names = names[which % len(names) :] + names[: which % len(names)]
        async with self._changed:
            while len(self._busy) >= len(names) - 1:
                await self._changed.wait()
            name = next(name for name in names if name not in self._busy)
            self._busy.add(name)
        async with self._freed(name):
            yield name

    @asynccontextmanager
    async def _this_replica(self, name: str) -> AsyncIterator[None]:
        async with self._changed:
            while name in self._busy or len(self._busy) >= len(self.site.replicas) - 1:
                await self._changed.wait()
            self._busy.add(name)
        async with self._freed(name):
            yield

    @asynccontextmanager
    async def _freed(self, name: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._busy.discard(name)
                    self._changed.notify_all()

    def _note(self, trouble: Trouble, whom: str, at: datetime) -> None:
        self.notes.mishaps.append(Mishap(kind=trouble.kind, whom=whom, at=at, back=now()))
