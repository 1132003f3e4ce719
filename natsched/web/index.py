"""All jobs in short, in memory, while somebody looks: what filters and orders them without asking NATS.

It is read once by a walk; from then on a look costs what was written since. A removed job leaves no trace in a scan
by revision, so from time to time all are walked again: the sooner, the less that takes. What is shown of a job is
read anew for each page; the index only says which jobs these are. Nobody looks for ten minutes: it is let go.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.executions import FAILED_FOR_GOOD
from natsched.core.jobs import Job, JobId, JobState, Stored
from natsched.core.planning import start_of
from natsched.errors import BackendError
from natsched.logs import get_logger
from natsched.ports import JobStore

IDLE: Final = 600.0
_FRESH: Final = 0.5
"""For how many seconds a refresh does for all who look."""

_PATIENCE: Final = 50
"""How many times as long as the last walk took it is until the next one."""

_SOONEST_WALK: Final = 2.0
_AGAIN: Final = 1.0
_CHUNK: Final = 128

NEVER: Final = float("inf")

log = get_logger(__name__)


@dataclass(slots=True)
class Entry:
    """A job in short. Instants are seconds since 1970.

    `trouble` puts in order what failed, what runs, what is to run by its next run, what is paused and what is
    complete; `age` is minus the instant of the last end.
    """

    id: JobId
    state: JobState
    queue: str
    kind: str
    last: str
    next: float
    age: float
    trouble: float
    paused_until: float
    running: int
    failing: bool
    walk: int


@dataclass(slots=True)
class Counts:
    """How many jobs there are by state (also "running" and "failing", which are besides) and by queue."""

    states: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, number: int) -> None:
        self.states[entry.state] += number
        self.states["running"] += number * bool(entry.running)
        self.states["failing"] += number * entry.failing
        self.queues[entry.queue] += number


class JobIndex:
    """Holds an entry for each job, from the first look until nobody has looked for `IDLE` seconds."""

    def __init__(self, jobs: JobStore, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._wanted = anyio.Event()
        self._read = anyio.Event()
        self._looked = 0.0
        self._fresh_at = -NEVER
        self._walk_at = -NEVER
        self._walk = 0
        self._revision = 0
        self.entries: dict[JobId, Entry] = {}
        self.counts = Counts()
        self._resting: set[JobId] = set()
        self.is_whole = False
        """Whether all jobs were read; until then it grows."""

        self.problem: str | None = None
        """Why it may be old."""

    async def look(self, patience: float) -> Sequence[Entry]:
        """Return all entries, at most `_FRESH` seconds old if that can be had within `patience` seconds."""
        self._looked = self._clock.monotonic()
        if self._looked - self._fresh_at > _FRESH:
            self._wanted.set()
            with anyio.move_on_after(patience):
                await self._read.wait()
        self._wake()
        return list(self.entries.values())

    def drop(self, jobs: Iterable[JobId]) -> None:
        """Forget jobs that were found to be gone."""
        for job in jobs:
            entry = self.entries.pop(job, None)
            if entry is not None:
                self.counts.add(entry, -1)

    async def run(self) -> None:
        """Read what is asked for, for ever."""
        while True:
            with anyio.move_on_after(IDLE):
                await self._wanted.wait()
            if self._wanted.is_set():
                await self._refresh()
            elif self._clock.monotonic() - self._looked >= IDLE:
                self._forget()

    async def _refresh(self) -> None:
        try:
            now = self._clock.monotonic()
            if now >= self._walk_at:
                await self._walk_all()
                took = self._clock.monotonic() - now
                self._walk_at = now + took + max(_SOONEST_WALK, _PATIENCE * took)
            else:
                async for chunk in self._jobs.scan(chunk=_CHUNK, after=self._revision):
                    self._take(chunk)
            self._fresh_at, self.problem = self._clock.monotonic(), None
        except* Exception as group:  # noqa: BLE001 - told, and tried again at the next look
            tell = log.info if group.split(BackendError)[1] is None else log.exception
            tell("the jobs cannot be read now", action="dashboard_failed", error=str(group.exceptions[0]))
            self.problem = str(group.exceptions[0])
            await self._clock.sleep(_AGAIN)
        self._wanted = anyio.Event()
        self._read.set()
        self._read = anyio.Event()

    async def _walk_all(self) -> None:
        """Read all jobs, and forget those that were not there any more."""
        self._walk += 1
        async with self._jobs.walk(chunk=_CHUNK) as chunks:
            async for chunk in chunks:
                self._take(chunk)
        self.drop([entry.id for entry in self.entries.values() if entry.walk != self._walk])
        self.is_whole = True

    def _take(self, chunk: Sequence[Stored]) -> None:
        for stored in chunk:
            self._revision = max(self._revision, stored.revision)
            if isinstance(stored.job, Job):
                self.drop([stored.id])
                self._put(_entry(stored.job, self._walk, self._clock.now()))

    def _put(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        self.counts.add(entry, 1)
        if entry.paused_until < NEVER:
            self._resting.add(entry.id)

    def _wake(self) -> None:
        """See which pauses have run out: no write tells of that."""
        now = self._clock.now().timestamp()
        for job in list(self._resting):
            entry = self.entries.get(job)
            if entry is None or entry.paused_until == NEVER:
                self._resting.discard(job)
            elif entry.paused_until <= now:
                self._resting.discard(job)
                self.counts.states.subtract([entry.state])
                entry.state = "active"
                self.counts.states.update([entry.state])

    def _forget(self) -> None:
        self.entries, self.counts, self._resting = {}, Counts(), set()
        self.is_whole, self._revision = False, 0
        self._walk_at = self._fresh_at = -NEVER


def _entry(job: Job, walk: int, now: datetime) -> Entry:
    spec, status = job.spec, job.status
    last, state = status.last, job.state(now)
    failing = last is not None and last.status in FAILED_FOR_GOOD
    following = NEVER if status.plan.due is None else start_of(job, status.plan.due).timestamp()
    return Entry(
        id=job.id,
        state=state,
        queue=intern(spec.queue),
        kind=intern(spec.schedule.kind),
        last=intern(last.status.value) if last else "",
        next=following,
        age=-(last.ended_at or last.due).timestamp() if last else 0.0,
        trouble=_trouble(state, failing=failing, runs=bool(status.running), following=following),
        paused_until=NEVER if state != "paused" or spec.paused_until is None else spec.paused_until.timestamp(),
        running=len(status.running),
        failing=failing,
        walk=walk,
    )


def _trouble(state: JobState, *, failing: bool, runs: bool, following: float) -> float:
    """Return a number by which a job comes the sooner, the more it is worth a look."""
    if state == "completed":
        return 5e10
    if failing:
        return 0.0
    if runs:
        return 1e10
    return 4e10 if state == "paused" else 2e10 + min(following, 1e10)
