"""Looking through the history for records of some kind."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from natsched.core.documents import decode_check_in
from natsched.core.endings import is_unwritten
from natsched.core.executions import CheckIn, ExecutionStatus, Record
from natsched.core.ids import job_id
from natsched.core.jobs import Job, JobId, Stored
from natsched.core.pauses import left_out_by_pause
from natsched.errors import InvalidJob
from natsched.ports import Backend
from natsched.protocol.telling import CHECK_IN, note

_FARTHEST: Final = 100_000
_MOST: Final = 2**31
_CHUNK: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which records are asked for: of a job, of an execution of it, of executions that ended so, since an instant.

    With `missed` also those of runs that did not happen. If neither that nor any of `statuses` is asked for, all
    attempts are; otherwise the last attempt of each execution decides.
    """

    job: str | None = None
    execution: str | None = None
    statuses: frozenset[ExecutionStatus] = frozenset()
    missed: bool = False
    since: datetime | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise InvalidJob(f"{self.limit} is no number of records: take 1 or more", field="limit")
        if self.execution is not None and self.job is None:
            raise InvalidJob("an execution is looked up with its job: give both", field="job")
        if self.since is not None and self.since.tzinfo is None:
            raise InvalidJob(f"{self.since} has no time zone: make it aware, e.g. with tzinfo=UTC", field="since")

    @property
    def is_choosy(self) -> bool:
        """Whether only executions that ended in some way are asked for."""
        return self.missed or bool(self.statuses)


def statuses_of(names: Collection[ExecutionStatus | str]) -> frozenset[ExecutionStatus]:
    """Return the statuses that are named."""
    return frozenset(map(_status, names))


async def find(backend: Backend, question: Question, now: datetime) -> Sequence[Record]:
    """Return records, the newest first, and before them what no record tells of yet.

    That are the runs that go on, where one job is asked about, and what fell due up to now in pauses that last,
    where runs that did not happen are asked for.
    """
    found = [
        record
        async for stored in _documents(backend, question)
        for record in _not_yet_recorded(stored, question, now)
        if _is_asked_for(record, question)
    ]
    recorded = await _recorded(backend, question)
    ended = {(record.execution, record.attempt) for record in recorded}  # just now, maybe: the record comes first
    going = [record for record in found if (record.execution, record.attempt) not in ended]
    for number, record in enumerate(going):
        if record.status is ExecutionStatus.RUNNING:
            going[number] = replace(record, check_in=await _check_in(backend, record))
    return [*going, *recorded][: question.limit]


async def _check_in(backend: Backend, record: Record) -> CheckIn | None:
    """Return what a running execution said last."""
    told = await backend.locks.get(note(record.job, record.execution, CHECK_IN))
    return None if told is None else decode_check_in(told[0])


async def _documents(backend: Backend, question: Question) -> AsyncIterator[Stored]:
    if question.job is not None:
        yield await backend.jobs.read(job_id(question.job))
    elif question.missed or ExecutionStatus.PAUSED in question.statuses:
        seen: set[str] = set()
        async for chunk in backend.jobs.scan("", chunk=_CHUNK):
            for stored in chunk:
                if stored.id not in seen and isinstance(stored.job, Job) and not stored.job.spec.active:
                    seen.add(stored.id)
                    yield stored


def _not_yet_recorded(stored: Stored, question: Question, now: datetime) -> Iterator[Record]:
    if not isinstance(stored.job, Job):
        return
    if question.job is not None:
        yield from _running(stored.job)
    left_out = left_out_by_pause(stored.job, now) if question.is_choosy else None
    if left_out is not None and (question.since is None or left_out.due >= question.since):
        yield left_out


async def _recorded(backend: Backend, question: Question) -> Sequence[Record]:
    """Read the history back as far as it takes to find as many as are wanted."""
    since, asked = question.since, min(question.limit, _MOST)
    while True:
        records = await backend.history.list(question.job, question.execution, limit=asked)
        recent = [record for record in records if since is None or (record.ended_at or record.due) >= since]
        written = await _written(backend, recent)
        chosen = list(_told_once(_not_run_after_all(written)))  # what is false hides nothing
        if question.is_choosy:
            chosen = [record for record in _last_attempts(chosen) if _is_asked_for(record, question)]
        is_all = len(records) < asked or len(recent) < len(records) or asked >= _FARTHEST
        if len(chosen) >= question.limit or is_all:
            return chosen
        asked *= 4


async def _written(backend: Backend, records: Sequence[Record]) -> list[Record]:
    """Leave out what was told of for a write that never came: the instants have their fate before them."""
    names = iter({JobId(record.job) for record in records if record.first is not None})
    jobs: dict[str, Job] = {}
    while part := list(islice(names, _CHUNK)):
        found = await backend.jobs.read_many(part)
        jobs |= {name: stored.job for name, stored in found.items() if isinstance(stored.job, Job)}
    return [record for record in records if record.job not in jobs or not is_unwritten(record, jobs[record.job])]


def _is_asked_for(record: Record, question: Question) -> bool:
    if question.execution not in (None, record.execution):
        return False
    if not question.is_choosy or record.status in question.statuses:
        return True
    return question.missed and record.did_not_run


def _told_once(records: Iterable[Record]) -> Iterator[Record]:
    """Leave out what a decision told of that came to nothing: a newer record of its instants tells of all of them."""
    told: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    for record in records:
        if record.first is not None and record.last is not None and not record.manual:
            which = record.job, record.uid
            known = told.get(which)
            if known is not None and known[0] <= record.first and record.last <= known[1]:
                continue
            told[which] = record.first, record.last
        yield record


def _not_run_after_all(records: Iterable[Record]) -> Iterator[Record]:
    """Leave out what a decision told of that came to nothing: a newer record tells that the execution ran."""
    ran: dict[tuple[str, str], datetime] = {}
    for record in records:
        which = record.job, record.execution
        if record.attempt:
            ran[which] = record.due
        elif which in ran and (record.first or record.due) <= ran[which] <= (record.last or record.due):
            continue
        yield record


def _last_attempts(records: Iterable[Record]) -> Iterator[Record]:
    """Leave out all but the newest record of each execution; the newest come first.

    A record of instants that were left out for the execution's run stays beside that of the run.
    """
    seen: dict[tuple[str, str], datetime] = {}
    for record in records:
        which = record.job, record.execution
        if which not in seen:
            seen[which] = record.due
            yield record
        elif not record.attempt and not (record.first or record.due) <= seen[which] <= (record.last or record.due):
            yield record


def _status(name: ExecutionStatus | str) -> ExecutionStatus:
    try:
        return ExecutionStatus(name)
    except ValueError:
        known = ", ".join(sorted(ExecutionStatus))
        raise InvalidJob(f"{name!r} is no status: take one of {known}", field="status") from None


def _running(job: Job) -> list[Record]:
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
