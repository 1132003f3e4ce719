"""What falls due while a job is paused: it does not run, and one record tells of all of it."""

from dataclasses import replace
from datetime import datetime

from natsched.core.endings import counted, record_of_none
from natsched.core.executions import Event, ExecutionStatus, Record, advance
from natsched.core.jobs import Job
from natsched.core.planning import TICK, gap_of, is_spent, next_of


def left_out_by_pause(job: Job, now: datetime) -> Record | None:
    """Return the record of what fell due in a pause, up to now or to its end, and is not yet told of.

    It has an execution of its own, named by the pause: the job's plan may have a record under its number. With a
    fixed delay nothing falls due in a pause, as no run ends.
    """
    spec, plan = job.spec, job.status.plan
    if spec.active or spec.paused_since is None or spec.fixed_delay is not None or is_spent(job, job.status.runs):
        return None
    after = spec.paused_since if job.status.last_due is None else max(spec.paused_since, job.status.last_due)
    until = now
    if spec.paused_until is not None:
        if spec.paused_until <= after:
            return None
        until = min(now, spec.paused_until - TICK)
    first = next_of(job, after)
    if first is None or first > until or (plan.due is not None and first >= plan.due):
        return None
    passed = gap_of(job, first, until if plan.due is None else min(until, plan.due - TICK))
    status = advance(ExecutionStatus.PLANNED, Event.JOB_PAUSED)
    record = record_of_none(job, passed, status, spec.pause_reason or "the job was paused", now=now)
    return replace(record, execution=f"{job.uid}-p{spec.generation}")


def told_of_pause(job: Job, now: datetime) -> tuple[Job, tuple[Record, ...]]:
    """Return the job with what its pause left out counted, and the record of it, where there is any."""
    record = left_out_by_pause(job, now)
    if record is None:
        return job, ()
    counts = counted(job.status.counts, record.status, record.number)
    return replace(job, status=replace(job.status, last_due=record.due, counts=counts)), (record,)
