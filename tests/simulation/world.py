"""One seed, one history: real replicas, reconciler, clients over the server in memory, on virtual time, under fire.

Everything that is drawn comes from the seed, and virtual time makes two runs of one seed the same run. What is known
afterwards is the journal: which handler was called and returned when, what clients asked for, and what befell whom.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from natsched.client.client import Client
from natsched.core.executions import Record
from natsched.core.jobs import Job, JobId, Stored
from natsched.core.schedules import Cron, Interval, Once, Schedule
from natsched.daemon.events import Event, RunLeftOut
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.replica import Replica
from natsched.errors import JobError, Unavailable
from natsched.memory.backend import MemoryBackend
from natsched.memory.hints import MemoryHints
from natsched.protocol.changing import Settings
from natsched.protocol.operations import Operations
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from tests.simulation.link import Link, LinkedBackend, Weather
from tests.virtual import EPOCH, VirtualClock, run_virtual

SECONDS: Final = 150.0
"""How long things go wrong, by the server's clock."""

CALM: Final = 150.0
"""How long nothing goes wrong after that: all that is owed has to be done by then."""


class MemberClock(VirtualClock):
    """A replica's clock: off the server's until it is compared with it, and with a drift of its own."""

    def __init__(self, link: Link, *, offset: float, drift: float) -> None:
        super().__init__()
        self._link = link
        self._rate = 1 + drift
        self._base = (EPOCH - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() + offset

    def monotonic(self) -> float:
        return super().monotonic() * self._rate

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self._base + self.monotonic())

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds, 0.0) / self._rate)
        await self._link.thawed()

    def follow(self, base: float) -> None:
        self._base = base

    def offset(self) -> timedelta:
        return timedelta(0)


class FickleHints(MemoryHints):
    """Schedules that now and then fire late, twice, or get stuck until somebody replaces them."""

    fate: Callable[[], str] = staticmethod(lambda: "fires")

    def _fire(self, seq: int) -> None:
        match self.fate():
            case "stuck":
                return
            case "late":
                self._timers.at(self._timers.now() + timedelta(seconds=0.9), partial(MemoryHints._fire, self, seq))
            case "twice":
                message = self._stream.get(seq)
                super()._fire(seq)
                if message is not None and message.target is not None:
                    self._stream.append(message.target, message.data)
            case _:
                super()._fire(seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a handler; `ended` is None where nobody saw its end."""

    job: str
    execution: str
    attempt: int
    due: datetime
    member: str
    version: int
    manual: bool
    started: datetime
    ended: datetime | None = None
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A client's operation: what it wanted, from when it was asked to when it had its answer (None: no answer)."""

    what: str
    job: str
    version: int
    asked: datetime
    answered: datetime | None
    uid: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """What befell somebody, from when to when."""

    what: str
    whom: str
    since: datetime
    until: datetime


@dataclass(slots=True)
class Journal:
    calls: list[Call] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    mishaps: list[Mishap] = field(default_factory=list)
    left_out: list[Record] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    ended: datetime = EPOCH

    def lines(self) -> list[str]:
        """Return the history as text, in the order of time."""
        told = [
            (call.started, f"{call.member} calls {call.execution}.{call.attempt} due {call.due:%H:%M:%S.%f}")
            for call in self.calls
        ]
        told += [
            (call.ended, f"{call.member} {call.how} {call.execution}.{call.attempt}")
            for call in self.calls
            if call.ended is not None
        ]
        told += [
            (one.asked, f"a client asks to {one.what} {one.job} v{one.version}: {one.error or 'done'}")
            for one in self.asked
        ]
        told += [(one.since, f"{one.whom}: {one.what} until {one.until:%H:%M:%S.%f}") for one in self.mishaps]
        return [f"{at:%H:%M:%S.%f} {text}" for at, text in sorted(told)]


@dataclass(slots=True, eq=False)
class Member:
    """A replica, its link and the scope that a kill cancels."""

    name: str
    link: Link
    scope: anyio.CancelScope
    replica: Replica | None = None


class Simulation:
    """What one seed makes happen; in `rough` weather all the time."""

    def __init__(self, seed: int, *, rough: bool = False) -> None:
        self.random = Random(seed)
        self.clock = VirtualClock()
        self.journal = Journal()
        self.versions: dict[JobId, list[Stored]] = {}
        self.options: dict[int, dict[str, Any]] = {}
        self.weather = Weather(
            loss=self.random.choice((0.0, 0.01, 0.05)),
            slow=self.random.choice((0.0, 0.02)),
            stale=self.random.choice((0.0, 0.3)),
        )
        self.weather.strike = self.random.choice((0.0, 0.003))
        if rough:
            self.weather = Weather(loss=0.03, slow=0.02, stale=0.5, strike=0.005)
        self._numbers = itertools.count(1)
        self._members: list[Member] = []
        self._names = itertools.count(1)
        self._version = itertools.count(1)
        self._tasks: TaskGroup
        self._server: MemoryBackend

    def run(self) -> Journal:
        run_virtual(self._run)
        return self.journal

    async def _run(self) -> None:
        self._server = MemoryBackend(self.clock)
        hints, delay = self._server.hints, timedelta(milliseconds=self.random.choice((0, 100, 250)))
        fickle = FickleHints(hints._stream, hints._timers, hints._window, firing_delay=delay)
        fickle.fate = self._fate
        self._server.hints = fickle
        async with self._server, anyio.create_task_group() as self._tasks:
            for _ in range(3):
                await self._start()
            with anyio.move_on_after(SECONDS):
                async with anyio.create_task_group() as trouble:
                    for number in range(self.random.choice((1, 2, 4))):
                        trouble.start_soon(self._client, f"job.{number}")
                    for kind in (self._kills, self._freezes, self._cuts, self._restarts):
                        trouble.start_soon(kind)
            self._end_of_trouble()
            await anyio.sleep(CALM)
            await self._look()
            self._tasks.cancel_scope.cancel()

    def _end_of_trouble(self) -> None:
        self.weather.loss = self.weather.slow = self.weather.stale = self.weather.strike = 0.0
        for member in self._members:
            member.link.cut_there = member.link.cut_back = False
            if member.link.frozen:
                member.link.thaw()

    async def _look(self) -> None:
        self.journal.ended = self.clock.now()
        for member in self._members:
            if member.replica is not None and not member.link.dead:
                self.journal.active |= set(member.replica._services.claimer.active)
        async for chunk in self._server.jobs.scan():
            for stored in chunk:
                if isinstance(stored.job, Job):
                    self.journal.jobs[stored.id] = stored.job
        self.journal.records = list(await self._server.history.list(limit=100_000))

    # What befalls the server

    def _fate(self) -> str:
        if self.clock.monotonic() > SECONDS:
            return "fires"
        return self.random.choices(("fires", "late", "twice", "stuck"), (90, 4, 4, 2))[0]

    async def _restarts(self) -> None:
        while True:
            await anyio.sleep(self.random.expovariate(1 / 60))
            away = self.random.uniform(0.3, 6.0)
            self._note("the server is away", "server", away)
            links = [member.link for member in self._members]
            for link in links:
                link.cut_there = link.cut_back = True
            await anyio.sleep(away)
            for link in links:
                link.cut_there = link.cut_back = False
            for consumer in self._server._consumers.values():
                for seq in list(consumer._silent_until):
                    consumer.hand_back(seq)

    # What befalls replicas

    def _note(self, what: str, whom: str, lasts: float) -> None:
        now = self.clock.now()
        self.journal.mishaps.append(Mishap(what=what, whom=whom, since=now, until=now + timedelta(seconds=lasts)))

    async def _start(self) -> None:
        name = f"r{next(self._names)}"
        link = Link(Random(self.random.random()), self.weather)
        member = Member(name, link, anyio.CancelScope())
        clock = MemberClock(
            link, offset=self.random.choice((0, 0, -3.0, 20.0)), drift=self.random.uniform(-2e-5, 2e-5)
        )
        backend = LinkedBackend(self._server, link, self.versions)
        operations = Operations(backend, clock, Settings(), self._number)
        options = ReplicaOptions(name=name, shutdown_grace=timedelta(seconds=5))
        member.replica = Replica(
            backend, clock, options, self._registry(member), operations, self._number, (self._observe,)
        )
        link.strike = partial(self._strike, member)
        self._members.append(member)

        async def live(*, task_status: TaskStatus[None]) -> None:
            with member.scope:
                task_status.started()
                assert member.replica is not None
                await member.replica.run()

        await self._tasks.start(live)

    def _number(self) -> int:
        return next(self._numbers)

    def _observe(self, event: Event) -> None:
        if isinstance(event, RunLeftOut):
            self.journal.left_out.append(event.record)

    def _registry(self, member: Member) -> Registry:
        registry = Registry()

        @registry.default
        async def work(ctx: Context) -> None:
            call = Call(
                job=ctx.job_id,
                execution=ctx.execution_id,
                attempt=ctx.attempt,
                due=ctx.due,
                member=member.name,
                version=ctx.metadata["version"],
                manual=ctx.manual,
                started=self.clock.now(),
            )
            number = len(self.journal.calls)
            self.journal.calls.append(call)
            try:
                await anyio.sleep(ctx.metadata["lasts"])
                await member.link.thawed()
            except anyio.get_cancelled_exc_class():
                if not member.link.dead:
                    self.journal.calls[number] = replace(call, ended=self.clock.now(), how="cancels")
                raise
            self.journal.calls[number] = replace(call, ended=self.clock.now(), how="ends")

        return registry

    def _some(self) -> Member | None:
        living = [member for member in self._members if not member.link.dead]
        return self.random.choice(living) if living else None

    async def _kills(self) -> None:
        while True:
            await anyio.sleep(self.random.expovariate(1 / 25))
            member = self._some()
            if member is None:
                continue
            if self.random.random() < 0.3 and member.replica is not None:
                self._note("shuts down", member.name, 10)
                member.replica.stop()
            else:
                self._kill(member)
            await self._follow()

    def _kill(self, member: Member) -> None:
        self._note("dies", member.name, 1e6)
        member.link.dead = True
        member.link.thaw()
        member.scope.cancel()

    async def _follow(self) -> None:
        """Start a replica in the place of one that went."""
        await anyio.sleep(self.random.uniform(0, 8))
        await self._start()

    def _strike(self, member: Member) -> None:
        """Kill or freeze a replica that waits for an answer."""
        if member.link.dead or member.link.frozen:
            return
        if self.random.random() < 0.4:
            self._kill(member)
            self._tasks.start_soon(self._follow)
        else:
            self._tasks.start_soon(self._freeze, member, self.random.choice((1.0, 5.5, 7.0, 12.0)))
            member.link.freeze()

    async def _freeze(self, member: Member, lasts: float) -> None:
        self._note("is frozen", member.name, lasts)
        member.link.freeze()
        await anyio.sleep(lasts)
        member.link.thaw()

    async def _freezes(self) -> None:
        while True:
            await anyio.sleep(self.random.expovariate(1 / 40))
            member = self._some()
            if member is None or member.link.frozen:
                continue
            await self._freeze(member, self.random.choice((0.3, 2.0, 4.0, 6.0, 15.0)))

    async def _cuts(self) -> None:
        while True:
            await anyio.sleep(self.random.expovariate(1 / 30))
            member = self._some()
            if member is None:
                continue
            lasts = self.random.choice((0.5, 3.0, 8.0, 20.0))
            which = self.random.choice(("there", "back", "both"))
            self._note(f"is cut off ({which})", member.name, lasts)
            member.link.cut_there, member.link.cut_back = which != "back", which != "there"
            await anyio.sleep(lasts)
            member.link.cut_there = member.link.cut_back = False

    # What clients do

    async def _client(self, job: str) -> None:
        link = Link(Random(self.random.random()), self.weather)
        backend = LinkedBackend(self._server, link, self.versions)
        client = Client(backend, Operations(backend, self.clock, Settings(), self._number), self.clock)
        await self._ask(client, "ensure", job)
        while True:
            await anyio.sleep(self.random.expovariate(1 / 20))
            what = self.random.choice(("ensure", "ensure", "pause", "resume", "trigger", "remove", "cancel"))
            await self._ask(client, what, job)
            if what in ("pause", "remove"):
                await anyio.sleep(self.random.uniform(0, 15))
                await self._ask(client, "resume" if what == "pause" else "ensure", job)

    async def _ask(self, client: Client, what: str, job: str) -> None:
        version, number = next(self._version), len(self.journal.asked)
        asked = Asked(what=what, job=job, version=version, asked=self.clock.now(), answered=None)
        self.journal.asked.append(asked)  # also if the end comes before its answer
        try:
            await self._do(client, what, job, version)
            asked = replace(asked, answered=self.clock.now())
        except Unavailable as error:
            asked = replace(asked, error=type(error).__name__)
        except JobError as error:
            asked = replace(asked, answered=self.clock.now(), error=type(error).__name__)
        self.journal.asked[number] = asked

    async def _do(self, client: Client, what: str, job: str, version: int) -> None:
        match what:
            case "ensure":
                await client.ensure_job(job, self._schedule(), **self._options(version))
            case "pause":
                await client.pause_job(job)
            case "resume":
                await client.resume_job(job)
            case "trigger":
                await client.trigger_job(job)
            case "remove":
                await client.remove_job(job)
            case "cancel":
                view = await client.get_job(job)
                for execution in view.running[:1]:
                    await client.cancel_execution(job, execution)

    def _schedule(self) -> Schedule:
        now = self.clock.now()
        return self.random.choice(
            (
                Interval(seconds=self.random.choice((1, 3, 7, 20))),
                Interval(seconds=5, jitter=2),
                Interval(seconds=4, fixed_delay=True),
                Cron("*/5 * * * * *"),
                Once(now + timedelta(seconds=self.random.uniform(0.5, 20))),
            )
        )

    def _options(self, version: int) -> Any:
        choice = self.random.choice
        self.options[version] = drawn = {
            "metadata": {"version": version, "lasts": choice((0.0, 0.5, 2.5, 9.0))},
            "overlap": choice(("skip", "skip", "queue", "replace", "allow")),
            "catch_up": choice(("latest", "earliest", "all", "all")),
            "catch_up_limit": 1000,
            "delivery": choice(("at_least_once", "at_least_once", "at_least_once", "at_most_once")),
            "max_crashes": 50,
        }
        return drawn
