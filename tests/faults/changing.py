"""The client that keeps changing jobs, and notes what it asked for and when that was answered."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Final, TypeVar

import anyio

from natsched import Client, JobView
from natsched.core.jobs import Job
from natsched.errors import BackendError, JobNotFound, TooManyEntries
from natsched.protocol.operations import Ensured
from natsched.testing import Change
from tests.e2e.processes import until
from tests.faults.jobs import Definition, Jobs

T = TypeVar("T")
_AGAIN: Final = 0.2
_PATIENCE: Final = 60.0
_CHANGES: Final = (
    *("update",) * 6,
    *("ensure",) * 3,
    *("pause",) * 2,
    *("resume",) * 3,
    "remove",
    *("trigger",) * 5,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A run that was asked for, by a call that was answered."""

    job: str
    execution: str
    at: datetime


@dataclass(slots=True, eq=False)
class Subject:
    """A job as its one changer knows it."""

    id: str
    definition: Definition | None = None
    document: Job | None = None


@dataclass(slots=True)
class Changer:
    """Changes jobs for as long as `run` goes on; what has no answer is asked again until it has one."""

    client: Client
    jobs: Jobs
    random: Random
    number: int
    pause: float = 0.2
    changes: list[Change] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    _subjects: list[Subject] = field(default_factory=list)
    _versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _stopped: bool = False

    async def create(self) -> None:
        """Create all jobs, with many requests under way."""
        self._subjects = [Subject(f"job.{index}") for index in range(self.number)]
        async with anyio.create_task_group() as tasks:
            for part in _parts(self._subjects, 20):
                tasks.start_soon(self._create, part)

    async def run(self, changers: int = 4) -> None:
        """Change one job after another, with its own jobs for each of the changers, until `stop`."""
        async with anyio.create_task_group() as tasks:
            for part in _parts(self._subjects, changers):
                tasks.start_soon(self._change, part, self.pause * changers)

    def stop(self) -> None:
        """Begin no other change: `run` ends when those under way are answered."""
        self._stopped = True

    async def _create(self, subjects: Sequence[Subject]) -> None:
        for subject in subjects:
            await self._update(subject)

    async def _change(self, subjects: Sequence[Subject], pause: float) -> None:
        while not self._stopped:
            await anyio.sleep(self.random.uniform(0, 2 * pause))
            subject, what = self.random.choice(subjects), self.random.choice(_CHANGES)
            if subject.document is None:
                what = "update"
            self.counts[what] += 1
            await self._do(what, subject)

    async def _do(self, what: str, subject: Subject) -> None:
        match what:
            case "update":
                await self._update(subject)
            case "ensure":
                await self._ensure_again(subject)
            case "trigger":
                await self._trigger(subject)
            case "remove":
                await self._remove(subject)
            case "pause":
                await self._noted(subject, lambda: self.client.pause_job(subject.id))
            case _:
                await self._noted(subject, lambda: self.client.resume_job(subject.id))

    async def _update(self, subject: Subject) -> None:
        version = next(self._versions)
        definition = subject.definition = self.jobs.draw(version)
        asked = _now()
        await self._answered(lambda: self.client.ensure_job(subject.id, definition.schedule, **definition.options))
        returned = _now()
        self._note(subject, await self._read(subject.id, version), asked, returned)

    async def _read(self, job: str, version: int) -> Job:
        """Read the document that an update left; a server that has not heard of it yet answers with an older one."""

        async def look() -> Job | None:
            with suppress(JobNotFound):
                document = (await self._answered(lambda: self.client.get_job(job))).document
                return document if document.spec.metadata.get("version") == version else None
            return None

        return await until(look, f"{job} is what ensure_job made of it", _PATIENCE, probe=_AGAIN)

    async def _ensure_again(self, subject: Subject) -> None:
        """Ask for what is there already, as a service does at each of its starts."""
        definition = subject.definition
        assert definition is not None, "it was created"
        outcome = await self._answered(
            lambda: self.client.ensure_job(subject.id, definition.schedule, **definition.options)
        )
        if outcome is not Ensured.UNCHANGED:
            self.wrong.append(f"{_now()}: {subject.id} was {outcome} by an ensure_job that changed nothing")

    async def _remove(self, subject: Subject) -> None:
        document, asked = subject.document, _now()
        assert document is not None, "it is there"
        try:
            await self._answered(lambda: self.client.remove_job(subject.id))
        except JobNotFound:  # it was the try before that removed it
            if not self.unanswered:
                raise
        subject.document = None
        self.changes.append(Change.away(document, asked=asked, returned=_now()))

    async def _trigger(self, subject: Subject) -> None:
        try:
            handle = await self.client.trigger_job(subject.id)
        except BackendError:  # it may have been asked for, nobody knows: it is not asked again
            self.unanswered += 1
        except TooManyEntries:
            self.counts["trigger, but too many wait"] += 1
        else:
            self.asked.append(Asked(job=subject.id, execution=handle.execution_id, at=_now()))

    async def _noted(self, subject: Subject, change: Callable[[], Awaitable[JobView]]) -> None:
        asked = _now()
        view = await self._answered(change)
        self._note(subject, view.document, asked, _now())

    def _note(self, subject: Subject, document: Job, asked: datetime, returned: datetime) -> None:
        subject.document = document
        self.changes.append(Change.to(document, asked=asked, returned=returned))

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; all that is asked so can be asked twice."""
        with anyio.fail_after(_PATIENCE):
            while True:
                try:
                    return await ask()
                except BackendError:
                    self.unanswered += 1
                    await anyio.sleep(_AGAIN)


def _parts(subjects: Sequence[Subject], number: int) -> list[Sequence[Subject]]:
    return [part for part in (subjects[at::number] for at in range(number)) if part]


def _now() -> datetime:
    return datetime.now(UTC)
