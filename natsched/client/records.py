"""Looking through the history for records of some kind."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from natsched.core.documents import decode_check_in
from natsched.core.executions import DID_NOT_RUN, CheckIn, ExecutionStatus, Record
from natsched.core.ids import job_id
from natsched.core.jobs import Job, Stored
from natsched.errors import InvalidJob
from natsched.ports import Backend
from natsched.protocol.telling import CHECK_IN, note

_FARTHEST: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which records are asked for: of a job, of an execution of it, of executions that ended so, since an instant.

    An empty `statuses` takes all attempts; otherwise the last attempt of each execution decides.
    """

    job: str | None = None
    execution: str | None = None
    statuses: frozenset[ExecutionStatus] = frozenset()
    since: datetime | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise InvalidJob(f"{self.limit} is no number of records: take 1 or more", field="limit")
        if self.execution is not None and self.job is None:
            raise InvalidJob("an execution is looked up with its job: give both", field="job")
        if self.since is not None and self.since.tzinfo is None:
            raise InvalidJob(f"{self.since} has no time zone: make it aware, e.g. with tzinfo=UTC", field="since")


def statuses_of(names: Collection[ExecutionStatus | str], *, missed: bool) -> frozenset[ExecutionStatus]:
    """Return the statuses that are named, and with `missed` those of runs that did not happen."""
    return frozenset(map(_status, names)) | (DID_NOT_RUN if missed else frozenset())


async def find(backend: Backend, question: Question) -> Sequence[Record]:
    """Return records, the newest first; those that are running before all others, where one job is asked about."""
    found: list[Record] = []
    if question.job is not None:
        stored = await backend.jobs.read(job_id(question.job))
        running = [record for record in _running(stored) if _is_asked_for(record, question)]
        found += [replace(record, check_in=await _check_in(backend, record)) for record in running]
    found += await _recorded(backend, question)
    return found[: question.limit]


async def _check_in(backend: Backend, record: Record) -> CheckIn | None:
    """Return what a running execution said last."""
    told = await backend.locks.get(note(record.job, record.execution, CHECK_IN))
    return None if told is None else decode_check_in(told[0])


async def _recorded(backend: Backend, question: Question) -> Sequence[Record]:
    """Read the history back as far as it takes to find as many as are wanted."""
    since, asked = question.since, question.limit
    while True:
        records = await backend.history.list(question.job, question.execution, limit=asked)
        recent = [record for record in records if since is None or (record.ended_at or record.due) >= since]
        chosen = recent
        if question.statuses:
            chosen = [record for record in _last_attempts(recent) if _is_asked_for(record, question)]
        is_all = len(records) < asked or len(recent) < len(records) or asked >= _FARTHEST
        if len(chosen) >= question.limit or is_all:
            return chosen
        asked *= 4


def _is_asked_for(record: Record, question: Question) -> bool:
    if question.execution not in (None, record.execution):
        return False
    return not question.statuses or record.status in question.statuses


def _last_attempts(records: Iterable[Record]) -> Iterator[Record]:
    """Leave out all but the newest record of each execution; the newest come first."""
    seen: set[tuple[str, str]] = set()
    for record in records:
        if (which := (record.job, record.execution)) not in seen:
            seen.add(which)
            yield record


def _status(name: ExecutionStatus | str) -> ExecutionStatus:
    try:
        return ExecutionStatus(name)
    except ValueError:
        known = ", ".join(sorted(ExecutionStatus))
        raise InvalidJob(f"{name!r} is no status: take one of {known}", field="status") from None


def _running(stored: Stored) -> list[Record]:
    job = stored.job
    if not isinstance(job, Job):
        return []
    return [
        Record(
            job=job.id,
            execution=execution,
            attempt=entry.attempt,
            status=ExecutionStatus.RUNNING,
            due=entry.due,
            uid=job.uid,
            generation=job.spec.generation,
            handler=job.spec.handler,
            queue=job.spec.queue,
            replica=entry.lease.split(".")[1] if entry.lease else None,
            manual=entry.manual,
            reason=entry.cancel or ("paused" if entry.paused else None),
        )
        for execution, entry in job.status.running.items()
    ]
