"""All jobs in short, in memory, while somebody looks: what filters and orders them without asking NATS.

It is read once by a walk; from then on a look costs what was written since. A removed job leaves no trace in a scan
by revision, so from time to time all are walked again: the sooner, the less that takes. What is shown of a job is
read anew for each page; the index only says which jobs these are. Nobody looks for ten minutes: it is let go.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.executions import FAILED_FOR_GOOD
from natsched.core.jobs import Job, JobId, Stored
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
    """A job in short. Instants are seconds since 1970; `paused_until` is -inf where it is not paused."""

    id: JobId
    queue: str
    kind: str
    last: str
    next: float
    ended: float
    paused_until: float
    running: int
    failing: bool
    completed: bool
    walk: int

    def state(self, now: float) -> str:
        if self.completed:
            return "completed"
        return "paused" if self.paused_until > now else "active"


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
        return list(self.entries.values())

    def drop(self, jobs: Iterable[JobId]) -> None:
        """Forget jobs that were found to be gone."""
        for job in jobs:
            self.entries.pop(job, None)

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
        except BackendError as error:
            log.info("the jobs cannot be read now", action="dashboard_failed", error=str(error))
            self.problem = error.message
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
                self.entries[stored.id] = _entry(stored.job, self._walk)

    def _forget(self) -> None:
        self.entries = {}
        self.is_whole, self._revision = False, 0
        self._walk_at = self._fresh_at = -NEVER


def _entry(job: Job, walk: int) -> Entry:
    spec, status = job.spec, job.status
    last = status.last
    paused_until = -NEVER if spec.active else _seconds(spec.paused_until, NEVER)
    return Entry(
        id=job.id,
        queue=intern(spec.queue),
        kind=intern(spec.schedule.kind),
        last=intern(last.status.value) if last else "",
        next=NEVER if status.plan.due is None else start_of(job, status.plan.due).timestamp(),
        ended=_seconds(last.ended_at or last.due, 0.0) if last else 0.0,
        paused_until=paused_until,
        running=len(status.running),
        failing=last is not None and last.status in FAILED_FOR_GOOD,
        completed=status.completed is not None,
        walk=walk,
    )


def _seconds(instant: datetime | None, otherwise: float) -> float:
    return otherwise if instant is None else instant.timestamp()
