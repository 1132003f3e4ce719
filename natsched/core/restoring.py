"""Bringing back a job from a backup: what its document becomes, with what has happened since as far as records tell.

A backup is of the past. What a record proves to have ended does not run again; what a replica that is alive runs is
left to it. No execution gets an id that may have been used since: the numbers of plans go on far beyond those that
there can have been. What fell due since, and of which no record tells, is for the catch-up policy.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from natsched.core.changes import latest
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.ids import base_of
from natsched.core.jobs import ExecutionId, Job, LeaseId, Plan, Retrying, Running, Status
from natsched.core.planning import is_spent, later, next_of, settle

_PLANS_A_SECOND: Final = 10
_MORE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The document to write, and the executions that are left to a replica that runs them still."""

    job: Job
    left: tuple[ExecutionId, ...] = ()


def restored(
    job: Job, records: Iterable[Record], alive: Container[LeaseId | None], now: datetime, since: datetime
) -> Restored:
    """Return what a job of a backup of `since` becomes; `records` are those of the job that there are."""
    by_execution: dict[ExecutionId, list[Record]] = {}
    for record in records:
        if record.uid == job.uid:
            by_execution.setdefault(ExecutionId(record.execution), []).append(record)
    ends = {execution: latest(of_it) for execution, of_it in by_execution.items()}
    left, status = _entries(job.status, ends, alive)
    job, n = _planned(replace(job, status=status), ends)
    seconds = max(0.0, (now - since).total_seconds())
    plan = Plan(n=n + _MORE + int(seconds) * _PLANS_A_SECOND, due=job.status.plan.due)
    return Restored(job=settle(replace(job, status=replace(job.status, plan=plan)), now), left=left)


def _entries(
    status: Status, ends: Mapping[ExecutionId, Record], alive: Container[LeaseId | None]
) -> tuple[tuple[ExecutionId, ...], Status]:
    """Take out what has ended since, and what a replica that is alive may run still."""
    running = {key: entry for key, entry in status.running.items() if not _is_over(entry, ends.get(key))}
    left = tuple(
        key for key, entry in running.items() if entry.lease in alive and not _has_ended(entry, ends.get(key))
    )
    kept = replace(
        status,
        running={
            key: replace(entry, lease=None, assigned=False) for key, entry in running.items() if key not in left
        },
        retries={key: entry for key, entry in status.retries.items() if not _is_tried(entry, ends.get(key))},
        manual={key: entry for key, entry in status.manual.items() if key not in ends},
    )
    return left, kept


def _planned(job: Job, ends: Mapping[ExecutionId, Record]) -> tuple[Job, int]:
    """Move the due behind those of which records tell, and return the highest number that a plan had."""
    status = job.status
    numbers = {execution: _number(job, execution) for execution in ends}
    settled = {execution: n for execution, n in numbers.items() if n is not None and n >= status.plan.n}
    if not settled:
        return job, status.plan.n
    dues = [ends[execution].last or ends[execution].due for execution in settled]
    last_due = max([*dues, *([status.last_due] if status.last_due else [])])
    claimed = {n for execution, n in settled.items() if ends[execution].attempt}
    status = replace(status, last_due=last_due, runs=status.runs + len(claimed))
    job = replace(job, status=status)
    if status.plan.due is not None:
        ended = max(ends[execution].ended_at or ends[execution].due for execution in settled)
        due = _due_after(job, last_due, ended)
        job = replace(job, status=replace(status, plan=replace(status.plan, due=due)))
    return job, max(settled.values())


def _due_after(job: Job, last_due: datetime, ended: datetime) -> datetime | None:
    """Return the due that follows the last one that a record tells of."""
    if is_spent(job, job.status.runs):
        return None
    delay = job.spec.fixed_delay
    return next_of(job, last_due) if delay is None else later(ended, delay)


def _number(job: Job, execution: ExecutionId) -> int | None:
    """Return the number of the plan that an execution, or the part of one, was."""
    n = base_of(execution).removeprefix(f"{job.uid}-")
    return int(n) if n.isdecimal() else None


def _is_over(entry: Running, end: Record | None) -> bool:
    """Whether an execution is past the attempt that was claimed when the backup was made.

    That its job was removed meanwhile is told of it as a gap, and no end: it may go on.
    """
    if end is None:
        return False
    return end.attempt > entry.attempt or (end.status is ExecutionStatus.CANCELLED and end.first is None)


def _has_ended(entry: Running, end: Record | None) -> bool:
    """Whether the attempt that was claimed has a record: whoever takes the execution over finishes from it."""
    return end is not None and end.attempt == entry.attempt


def _is_tried(entry: Retrying, end: Record | None) -> bool:
    return end is not None and (end.attempt >= entry.attempt or end.status is ExecutionStatus.CANCELLED)


def remaining(record: Record, retention: timedelta, now: datetime) -> timedelta | None:
    """Return for how long a record is still to be kept, in whole seconds; None if its time is over."""
    left = retention - (now - (record.ended_at or record.due))
    return timedelta(seconds=int(left.total_seconds())) if left >= timedelta(seconds=1) else None
