"""Which run is next: plans and completion."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict

from natsched.core.hints import PlanHint
from natsched.core.jobs import ExecutionId, Job, Plan, Retrying, Running, Spec
from natsched.core.schedules import Gap, Interval, gap, jitter_of, next_due

TICK: Final = timedelta(microseconds=1)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


def gap_of(job: Job, first: datetime, until: datetime) -> Gap:
    """Tell the instants of a job from `first` to the last not after `until`; a fixed delay has but one at a time."""
    if job.spec.fixed_delay is not None:
        return Gap(first=first, last=first, number=1, exact=True)
    return gap(job.spec.schedule, first, until, anchor=job.spec.anchor, salt=job.id)


def next_of(job: Job, after: datetime) -> datetime | None:
    """Return the first instant of a job after `after`, whatever its limit of runs."""
    return next_due(job.spec.schedule, after, anchor=job.spec.anchor, salt=job.id)


def next_plan(job: Job, after: datetime, *, runs: int) -> Plan:
    """Return the plan after the current one, with that many runs claimed: the first instant after `after`, if any."""
    if is_spent(job, runs):
        return Plan(n=job.status.plan.n + 1)
    return Plan(n=job.status.plan.n + 1, due=next_of(job, after))


def replan(job: Job, now: datetime) -> Job:
    """Plan anew after a change: the first instant after the later of now and the last due taken.

    A paused job gets one only if it knows when it goes on; a job whose next due is counted from the end of a
    run waits for that run.
    """
    status, spec = job.status, job.spec
    plan = Plan(n=status.plan.n + 1)
    after = now if status.last_due is None else max(now, status.last_due)
    if not spec.is_active(now):
        if spec.paused_until is not None:
            after = after if spec.paused_until <= after else spec.paused_until - TICK
            plan = next_plan(job, after, runs=status.runs)
    elif spec.fixed_delay is None or not under_way(status.running, status.retries):
        plan = next_plan(job, after, runs=status.runs)
    return replace(job, status=replace(status, plan=plan, completed=None))


def delayed_plan(job: Job, now: datetime, *, runs: int) -> Plan:
    """Return the plan that counts its due from now, for a schedule that waits for its runs."""
    schedule = job.spec.schedule
    assert isinstance(schedule, Interval)
    due = later(now, schedule.period)
    over = due > (schedule.end_at or _LATEST) or due == _LATEST
    return Plan(n=job.status.plan.n + 1, due=None if over or is_spent(job, runs) else due)


def awaits_claim(job: Job, execution: ExecutionId) -> bool:
    """Whether an execution may still be claimed: the plan's, one asked for, one that is tried again, or one left."""
    status = job.status
    planned = execution == job.execution_id(status.plan.n)
    return planned or execution in status.manual or execution in status.retries or execution in status.running


def under_way(running: Mapping[ExecutionId, Running], retries: Mapping[ExecutionId, Retrying]) -> bool:
    """Whether an execution of the plan is running or waits for another attempt."""
    return any(not entry.manual for entry in running.values()) or any(not entry.manual for entry in retries.values())


def settle(job: Job, now: datetime) -> Job:
    """Give a job what every write owes it: the plan that an end brings, and the mark of completion."""
    status, spec = job.status, job.spec
    if not spec.is_active(now) or status.plan.due is not None or spec.is_reactive:
        return job
    if spec.fixed_delay is not None and not under_way(status.running, status.retries):
        plan = delayed_plan(job, now, runs=status.runs)
        if plan.due is not None:
            return replace(job, status=replace(status, plan=plan))
    if status.running or status.retries or status.manual:
        return job
    reason = "max_runs reached" if is_spent(job, status.runs) else "no further instant"
    return replace(job, status=replace(status, completed=reason))


def start_of(job: Job, due: datetime) -> datetime:
    """Return when a run of that due starts: jitter moves the start, never the plan."""
    if not job.spec.schedule.jitter:
        return due
    return later(due, jitter_of(job.spec.schedule, due, uid=job.uid))


def start_of_running(job: Job, entry: Running) -> datetime:
    """Return when an execution was to start; one that was asked for by hand knows no jitter."""
    return entry.due if entry.manual else start_of(job, entry.due)


def later(instant: datetime, delay: timedelta) -> datetime:
    """Add a delay, as far as time goes."""
    return instant + min(delay, _LATEST - instant)


def earlier(instant: datetime, delay: timedelta) -> datetime:
    """Take a delay off, as far as time goes."""
    return instant - min(delay, instant - _EARLIEST)


def plan_hint(job: Job, revision: int) -> PlanHint | None:
    """Return the hint that the job's plan is owed; `revision` is that of this document."""
    plan = job.status.plan
    if plan.due is None:
        return None
    return PlanHint(
        job=job.id,
        uid=job.uid,
        n=plan.n,
        start=start_of(job, plan.due),
        revision=revision,
        queue=job.spec.queue,
    )


def is_spent(job: Job, runs: int) -> bool:
    """Whether that many runs are all that the job may have."""
    limit = job.spec.schedule.max_runs
    return limit is not None and runs >= limit


class History(TypedDict):
    """What a job keeps of its spec when it is asked for anew."""

    generation: int
    anchor: datetime
    active: bool
    paused_until: datetime | None
    pause_reason: str | None
    paused_since: datetime | None


def history_of(spec: Spec) -> History:
    return History(
        generation=spec.generation,
        anchor=spec.anchor,
        active=spec.active,
        paused_until=spec.paused_until,
        pause_reason=spec.pause_reason,
        paused_since=spec.paused_since,
    )


def paused(spec: Spec, since: datetime, until: datetime | None, reason: str | None) -> Spec:
    return replace(
        spec,
        generation=spec.generation + 1,
        active=False,
        paused_since=since,
        paused_until=until,
        pause_reason=reason,
    )


def awake(spec: Spec) -> Spec:
    """Return the spec of a job that is not, or no longer, paused."""
    if spec.active:
        return spec
    return replace(spec, active=True, paused_until=None, pause_reason=None, paused_since=None)


def same_work(a: Spec, b: Spec) -> bool:
    """Whether two specs ask for the same, whatever their history: generation, anchor and pause."""
    return a == replace(b, **history_of(a))
