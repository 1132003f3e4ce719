"""What may be asked of an execution that is under way: to end, to wait at its next checkpoint, to go on."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from natsched.core.changes import Change
from natsched.core.endings import counted, is_kept
from natsched.core.executions import Event, ExecutionStatus, Record, advance
from natsched.core.jobs import MAX_REASON, ExecutionId, Job
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
    why = reason or "it was cancelled"
    if len(why) > MAX_REASON:
        raise InvalidJob(f"{len(why)} characters are too many: {MAX_REASON} at most", field="reason")
    if execution in job.status.running:
        if job.status.running[execution].cancel is not None:
            return None
        return Change(job=cancelled(job, (execution,), why))
    if execution in job.status.retries:
        again = job.status.retries[execution]
        left = {key: value for key, value in job.status.retries.items() if key != execution}
        status, due, manual = replace(job.status, retries=left), again.due, again.manual
        ended = advance(ExecutionStatus.RETRYING, Event.CANCEL)
    elif execution in job.status.manual:
        asked = job.status.manual[execution]
        waiting = {key: value for key, value in job.status.manual.items() if key != execution}
        status, due, manual = replace(job.status, manual=waiting), asked.at, True
        ended = advance(ExecutionStatus.PLANNED, Event.CANCEL)
    else:
        raise _not_under_way(job, execution)
    record = Record(
        job=job.id,
        execution=execution,
        attempt=0,
        status=ended,
        due=due,
        uid=job.uid,
        generation=job.spec.generation,
        handler=job.spec.handler,
        queue=job.spec.queue,
        ended_at=now,
        reason=why,
        manual=manual,
        metadata=job.spec.metadata or None,
    )
    status = replace(status, counts=counted(status.counts, ended))
    kept = (record,) if is_kept(job, record) else ()
    return Change(job=settle(replace(job, status=status), now), records=kept)


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
