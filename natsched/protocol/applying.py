"""Applying files of jobs: read what there is, lay out what differs, and do just that."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar, cast

import anyio

from natsched.config import FileOfJobs
from natsched.core.applying import Creation, Outline, Update, Wanted, outline, upstream_of
from natsched.core.chains import After, in_order
from natsched.core.jobs import Job, JobId, Unreadable
from natsched.core.specs import JobOptions
from natsched.errors import DocumentError, InvalidJob, JobChanged, JobNotFound
from natsched.ports import Backend
from natsched.protocol.operations import Ensured, Operations

T = TypeVar("T")

_WORKERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done; `changed` says of each job that was left why: it was not any more what was shown."""

    created: tuple[JobId, ...] = ()
    updated: tuple[JobId, ...] = ()
    pruned: tuple[JobId, ...] = ()
    changed: tuple[str, ...] = ()


class Applier:
    """Lays out what files want, and does it."""

    def __init__(self, backend: Backend, operations: Operations) -> None:
        self._backend = backend
        self._operations = operations

    async def outline(self, files: Sequence[FileOfJobs], *, prune: bool = False, take_over: bool = False) -> Outline:
        """Lay out what is to be done; with `prune` what the files' owners have and no file names is removed."""
        owners = frozenset(map(_owner, files)) if prune else frozenset[str]()
        wanted = [self._wanted(file, job) for file in files for job in file.jobs]
        there: dict[JobId, Job] = {}

        async def look(job: JobId) -> None:
            stored = await self._backend.jobs.read(job)
            if isinstance(stored.job, Unreadable):
                raise DocumentError(f"the document of {job} cannot be read: {stored.job.reason}", field=job)
            if stored.job is not None:
                there[job] = stored.job

        await _each({one.id for one in wanted} | upstream_of(wanted), look)
        owned = [job async for job in self._owned(owners)] if owners else []
        return outline(wanted, there, owned, take_over=take_over)

    async def apply(self, laid_out: Outline, progress: Callable[[int, int], None] | None = None) -> Applied:
        """Do what was laid out, as far as the jobs are still what they were then.

        `progress` is called with how many steps are done, of how many.
        """
        all_steps: list[Creation | Update] = [*laid_out.created, *laid_out.updated]
        steps: dict[str, Creation | Update] = {step.wanted.id: step for step in all_steps}
        before = {
            id_: schedule.jobs
            for id_, step in steps.items()
            if isinstance(schedule := step.wanted.spec.schedule, After)
        }
        done: dict[JobId, Ensured] = {}
        pruned: list[JobId] = []
        changed: list[str] = []
        number, total = count(1), len(steps) + len(laid_out.pruned)

        def tell() -> None:
            if progress is not None:
                progress(next(number), total)

        async def define(step: Creation | Update) -> None:
            with _noting(changed, tell):
                outcome, job = await self._operations.ensure(
                    step.wanted.id,
                    step.wanted.spec,
                    likely_new=isinstance(step, Creation),
                    check=step.check,
                )
                done[job.id] = outcome

        await _each([step for id_, step in steps.items() if id_ not in before], define)
        for step in in_order({id_: steps[id_] for id_ in before}, before):
            await define(step)
        for removal in laid_out.pruned:
            with _noting(changed, tell):
                try:
                    await self._operations.remove(removal.job.id, check=removal.check)
                except JobNotFound:
                    continue
                pruned.append(removal.job.id)
        return Applied(
            created=tuple(sorted(id_ for id_, outcome in done.items() if outcome is Ensured.CREATED)),
            updated=tuple(sorted(id_ for id_, outcome in done.items() if outcome is Ensured.UPDATED)),
            pruned=tuple(pruned),
            changed=tuple(changed),
        )

    def _wanted(self, file: FileOfJobs, job: Mapping[str, Any]) -> Wanted:
        options = {name: value for name, value in job.items() if name not in ("id", "schedule")}
        spec = self._operations.spec(job["schedule"], cast("JobOptions", options))
        return Wanted(id=job["id"], spec=spec, source=str(file.path))

    async def _owned(self, owners: frozenset[str]) -> AsyncIterator[Job]:
        async for chunk in self._backend.jobs.scan():
            for stored in chunk:
                if isinstance(stored.job, Job) and stored.job.spec.owner in owners:
                    yield stored.job


def _owner(file: FileOfJobs) -> str:
    if file.owner is None:
        raise InvalidJob(
            f'{file.path} names none, so nothing is its own to be pruned: write owner = "name" at its top',
            field="owner",
        )
    return file.owner


@contextmanager
def _noting(changed: list[str], done: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except JobChanged as error:
        changed.append(error.message)
    done()


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for each, with several requests under way."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    try:
        async with anyio.create_task_group() as workers:
            for _ in range(_WORKERS):
                workers.start_soon(worker)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
