"""A scheduler for tests: replicas with your handlers in this process, on a clock that moves when you say so.

    def test_the_report_runs_at_three() -> None:
        with Scheduler(registry, start=datetime(2026, 6, 1, tzinfo=UTC)) as scheduler:
            scheduler.ensure_job("report", Cron("0 3 * * *"), handler="report")
            scheduler.advance(timedelta(days=2))
            scheduler.assert_ran_at("report", [datetime(2026, 6, day, 3, tzinfo=UTC) for day in (1, 2)])

The real replica and client run on a server in memory and an event loop of their own, on virtual time: an hour passes
in the moment in which nobody has anything to do. So handlers may wait by `anyio.sleep` or `asyncio.sleep` for as long
as they like, but for nothing outside of the loop: no network, no threads. Plain functions run on the loop and take no
time. All calls are plain functions, for plain tests; an async test runs on a loop of its own and cannot make them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, cast

import anyio
from pydantic import JsonValue

from natsched.client.client import Client
from natsched.core.executions import Record
from natsched.core.schedules import Schedule
from natsched.core.specs import JobOptions
from natsched.daemon.options import ReplicaOptions
from natsched.protocol.operations import Ensured
from natsched.targets.registry import Registry
from natsched.testing.virtual import EPOCH, VirtualLoop
from natsched.testing.world import Member, World, open_world

T = TypeVar("T")

_ALL: Final = 1_000_000
_MILLISECOND: Final = timedelta(milliseconds=1)


class Scheduler:
    """Replicas with the handlers and declared jobs of a registry, a client, and the time, which begins at `start`.

    `lease`, in whole seconds, is within what a replica's death shows. That of a real replica is 5 s; a longer one
    makes long times pass faster: a day took 0.5 s with ten minutes, 0.2 s with an hour (measured).
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        start: datetime = EPOCH,
        replicas: int = 1,
        lease: timedelta = timedelta(minutes=10),
    ) -> None:
        self.registry: Final = registry if registry is not None else Registry()
        self._start = start
        self._lease = lease
        self._names = [f"replica-{number}" for number in range(1, replicas + 1)]
        self._members: dict[str, Member] = {}
        self._world: World
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)

    def __enter__(self) -> Self:
        self._loop = cast("VirtualLoop", self._runner.get_loop())
        self._ready, self._over = anyio.Event(), anyio.Event()
        self._life = self._loop.create_task(self._live())
        try:
            self.wait(self._ready.wait)
            for name in self._names:
                self.start(name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            if not self._life.done():
                self._loop.run_until_complete(self._life)
        finally:
            self._runner.close()

    @property
    def now(self) -> datetime:
        """The instant it is in there."""
        return self._start + timedelta(seconds=self._loop.time())

    @property
    def client(self) -> Client:
        """The client, whose calls `wait` makes: `scheduler.wait(lambda: scheduler.client.pause_job("report"))`."""
        return self._world.client

    def wait(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make a call in there, and let the time go on until it has returned."""
        task = self._loop.create_task(call())
        both = asyncio.wait([task, self._life], return_when=asyncio.FIRST_COMPLETED)
        self._loop.run_until_complete(both)
        if not task.done():
            task.cancel()
            self._life.result()
            raise RuntimeError("the scheduler has ended")
        return task.result()

    def advance(self, delta: timedelta | float) -> None:
        """Let so much time pass (a timedelta, or seconds); what is due at its very end has begun."""
        seconds = delta.total_seconds() if isinstance(delta, timedelta) else delta

        async def pass_on() -> None:
            await anyio.sleep(seconds)
            await self._loop.settle()

        self.wait(pass_on)

    def run_until(self, instant: datetime) -> None:
        """Let the time pass until that instant; what is due at it has begun."""
        if instant < self.now:
            raise ValueError(f"{instant} has passed: it is {self.now}")
        self.advance(instant - self.now)

    def start(self, name: str) -> None:
        """Start another replica; the jobs that the registry declares are ensured."""
        self._members[name] = self.wait(lambda: self._world.start(name))

    def kill(self, name: str) -> None:
        """End a replica as a crash would: nothing is written any more, and another takes over within the lease."""
        member = self._members.pop(name)

        async def die() -> None:
            member.kill()
            await self._loop.settle()

        self.wait(die)

    def ensure_job(self, id: str, schedule: Schedule, **options: Unpack[JobOptions]) -> Ensured:  # noqa: A002
        """See that the job exists, as `Client.ensure_job` does."""
        return self.wait(lambda: self.client.ensure_job(id, schedule, **options))

    def trigger_job(self, id: str, payload: JsonValue = None) -> Record:  # noqa: A002
        """Run the job now, and return the record of its end."""

        async def run() -> Record:
            return await (await self.client.trigger_job(id, payload))

        return self.wait(run)

    def next_run(self, job: str) -> datetime | None:
        """Return when the job's next run starts; None if it has none."""
        return self.wait(lambda: self.client.get_job(job)).next_run

    def ran_at(self, job: str) -> Sequence[datetime]:
        """Return the instants at which the job's executions began, to the millisecond, without later attempts."""
        return [_rounded(at) for at, start in self._world.began if start.job == job and start.attempt == 1]

    def records(self, job: str) -> Sequence[Record]:
        """Return the records of the job, the oldest first: how its runs ended, and what did not run."""
        return list(reversed(self.wait(lambda: self.client.executions(job, limit=_ALL))))

    def assert_ran_at(self, job: str, instants: Iterable[datetime]) -> None:
        """Fail unless the executions of the job began at just these instants."""
        ran, wanted = list(self.ran_at(job)), [_rounded(instant) for instant in instants]
        if ran != wanted:
            raise AssertionError(
                f"{job} did not run as it should have by {self.now}\n"
                f"  missing: {_listed([one for one in wanted if one not in ran])}\n"
                f"  not asked for: {_listed([one for one in ran if one not in wanted])}\n"
                f"  ran at: {_listed(ran)}"
            )

    def assert_next_run(self, job: str, instant: datetime | None) -> None:
        """Fail unless the job's next run starts at that instant; None: unless it has none."""
        planned = self.next_run(job)
        if planned != instant:
            raise AssertionError(f"{job} runs next at {planned}, not at {instant}")

    async def _live(self) -> None:
        async with open_world(World, epoch=self._start) as self._world:
            self._world.registry = self.registry
            self._world.options = ReplicaOptions(
                name="replica",
                thread_limit=0,
                lease_ttl=self._lease,
                ack_wait=self._lease,
                reconciler_ttl=self._lease,
                reconciler_interval=10 * self._lease,
                sample_every=10 * self._lease,
            )
            self._ready.set()
            await self._over.wait()


def _rounded(instant: datetime) -> datetime:
    past = timedelta(microseconds=instant.microsecond % 1000)
    return instant - past + (_MILLISECOND if past * 2 >= _MILLISECOND else timedelta(0))


def _listed(instants: Sequence[datetime]) -> str:
    return ", ".join(instant.isoformat() for instant in instants) or "none"
