"""What may be asked of an execution that is under way: to end, to wait at its next checkpoint, to go on."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from natsched.core.changes import Change, checked_reason
from natsched.core.endings import Outcome, counted, finish, record_of_waiting
from natsched.core.executions import Cause, Event, ExecutionStatus, advance
from natsched.core.jobs import ExecutionId, Job, Manual, Retrying
from natsched.core.planning import settle
from natsched.errors import InvalidJob


def cancelled(job: Job, executions: Iterable[ExecutionId], reason: str) -> Job:
    """Ask running executions to end; the first reason that was given stays."""
    running = dict(job.status.running)
    for execution in executions:
        if running[execution].cancel is None:
            running[execution] = replace(running[execution], cancel=reason)
    return replace(job, status=replace(job.status, running=running))


def cancel(job: Job, execution: ExecutionId, reason: str | None, now: datetime) -> Change | None:
    """Ask an execution to end, or take it out if it only waits to begin; None if it was asked before."""
    why = checked_reason(reason or "it was cancelled")
    if execution in job.status.running:
        if job.status.running[execution].cancel is not None:
            return None
        return Change(job=cancelled(job, (execution,), why))
    waiting = job.status.retries.get(execution) or job.status.manual.get(execution)
    if waiting is None:
        raise _not_under_way(job, execution)
    before = ExecutionStatus.PLANNED if isinstance(waiting, Manual) else ExecutionStatus.RETRYING
    ended = advance(before, Event.CANCEL)
    status = replace(
        job.status,
        retries={key: value for key, value in job.status.retries.items() if key != execution},
        manual={key: value for key, value in job.status.manual.items() if key != execution},
        counts=counted(job.status.counts, ended),
    )
    if isinstance(waiting, Retrying) and job.status.followers:
        end = Cause(job=job.id, execution=execution, attempt=waiting.attempt - 1, status=ended, at=now)
        status = replace(status, handovers={**status.handovers, execution: end})
    record = record_of_waiting(job, execution, waiting, ended, why, now=now)
    return Change(job=settle(replace(job, status=status), now), records=(record,))


def ended(job: Job, execution: ExecutionId, outcome: Outcome) -> Change:
    """Take an attempt that ended out of `running`; one that was asked to end is not tried again."""
    why = job.status.running[execution].cancel
    finished = finish(job, execution, outcome)
    if why is None or outcome.retry_at is None:
        return Change(job=finished)
    called_off = cancel(finished, execution, why, outcome.ended_at)
    assert called_off is not None, "what waits was not asked before"
    return called_off


def hold(job: Job, execution: ExecutionId, *, paused: bool) -> Job | None:
    """Have a running execution wait at its next checkpoint, or go on; None if it does already."""
    entry = job.status.running.get(execution)
    if entry is None:
        raise _not_under_way(job, execution)
    if entry.paused is paused:
        return None
    running = {**job.status.running, execution: replace(entry, paused=paused)}
    return replace(job, status=replace(job.status, running=running))


def _not_under_way(job: Job, execution: ExecutionId) -> InvalidJob:
    return InvalidJob(f"{execution} of {job.id} is not under way: it has ended, or never began", field="execution")
