"""Many jobs at once: a few workers share one stream of them, so that requests overlap."""

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio

from natsched.core.chains import After, in_order
from natsched.core.ids import MAX_ID, job_id
from natsched.core.jobs import Job, Spec
from natsched.errors import InvalidJob
from natsched.protocol.operations import Ensured, Operations

Item: TypeAlias = Mapping[str, Any] | Job
Progress: TypeAlias = Callable[[int, int | None], None]

WORKERS: Final = 128


@dataclass(slots=True)
class BulkResult:
    """How many jobs were created, updated and found unchanged."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    @property
    def total(self) -> int:
        return self.created + self.updated + self.unchanged


class BulkEnsure:
    """Ensures jobs with several requests under way; `progress` is called with how many are done, of how many.

    A bad item stops it: those before it are written, and the error names the item.
    """

    def __init__(self, operations: Operations, items: Iterable[Item], progress: Progress | None) -> None:
        self._operations = operations
        self._items = enumerate(items)
        self._total = len(items) if isinstance(items, Sized) else None
        self._progress = progress
        self._result = BulkResult()
        self._exists = 0
        self._later: dict[str, Spec] = {}
        """Jobs that run after others, which have to be there."""

    async def run(self) -> BulkResult:
        try:
            async with anyio.create_task_group() as workers:
                for _ in range(WORKERS):
                    workers.start_soon(self._work)
        except BaseExceptionGroup as group:
            raise _first(group) from None
        before = {job: spec.schedule.jobs for job, spec in self._later.items() if isinstance(spec.schedule, After)}
        ids = {job: job for job in self._later}
        for job in in_order(ids, before):
            await self._ensure(job, self._later[job])
        return self._result

    async def _work(self) -> None:
        for number, item in self._items:
            job, spec = self._read(number, item)
            if isinstance(spec.schedule, After):
                self._later[job] = spec
            else:
                await self._ensure(job, spec)

    async def _ensure(self, job: str, spec: Spec) -> None:
        outcome, _ = await self._operations.ensure(job, spec, likely_new=self._exists <= 0)
        self._count(outcome)

    def _count(self, outcome: Ensured) -> None:
        result = self._result
        match outcome:
            case Ensured.CREATED:
                result.created += 1
                self._exists = max(self._exists - 1, -1)
            case Ensured.UPDATED:
                result.updated += 1
                self._exists = min(self._exists + 1, 16)
            case Ensured.UNCHANGED:
                result.unchanged += 1
                self._exists = min(self._exists + 1, 16)
        if self._progress is not None:
            self._progress(result.total, self._total)

    def _read(self, number: int, item: Item) -> tuple[str, Spec]:
        try:
            if isinstance(item, Job):
                return item.id, item.spec
            options = dict(item)
            if "id" not in options or "schedule" not in options:
                missing = "id" if "id" not in options else "schedule"
                raise InvalidJob("it is missing: each job needs an id and a schedule", field=missing)
            checked, schedule = job_id(options.pop("id")), options.pop("schedule")
            return checked, self._operations.spec(schedule, options)  # type: ignore[arg-type]
        except InvalidJob as error:
            name = item.id if isinstance(item, Job) else item.get("id", "without an id")
            named = InvalidJob(f"job {number + 1} ({name!s:.{MAX_ID}}): {error.message}")
            named.field = error.field
            raise named from error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
