"""Which run is next: plans, catch-up and completion."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias, TypedDict

from natsched.core.executions import ExecutionStatus
from natsched.core.hints import PlanHint
from natsched.core.jobs import ExecutionId, Job, Plan, Retrying, Running, Spec
from natsched.core.schedules import Gap, Interval, gap, jitter_of, next_due

LATE: Final = timedelta(seconds=1)
"""How late a plan is looked at before its job's catch-up policy has a say."""

_TICK: Final = timedelta(microseconds=1)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)

LeftOut: TypeAlias = Literal[ExecutionStatus.COALESCED, ExecutionStatus.MISSED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What the catch-up policy makes of a plan: the instant to run (if any) and the instants left out."""

    due: datetime | None
    after: datetime
    left_out: Gap | None = None
    status: LeftOut = ExecutionStatus.COALESCED


def take(job: Job, now: datetime) -> Take:
    """Choose what runs of a plan that is looked at now; the next due is the first one after `after`."""
    due = job.status.plan.due
    assert due is not None, "only a plan with a due is taken"
    if not is_late(job, now):
        late = now - start_of(job, due)
        if job.spec.overlap in ("queue", "replace") and job.spec.catch_up == "latest" and late > timedelta(0):
            return _take_last(job, due, due + late, ExecutionStatus.COALESCED)  # what waited meanwhile is one run
        return Take(due=due, after=due)
    match job.spec.catch_up:
        case "latest":
            return _take_last(job, due, now, ExecutionStatus.COALESCED)
        case "none":
            return _take_recent(job, due, now)
        case "all":
            return _take_each(job, due, now)


def is_late(job: Job, now: datetime) -> bool:
    """Whether the job's plan is looked at so late after its start that its catch-up policy has a say."""
    due = job.status.plan.due
    if due is None:
        return False
    late = now - start_of(job, due)
    return late > LATE or (job.spec.catch_up == "none" and not _is_recent(job, due, now))


def _is_recent(job: Job, due: datetime, now: datetime) -> bool:
    return (now - start_of(job, due)).total_seconds() <= job.spec.tolerance


def _take_last(job: Job, due: datetime, now: datetime, status: LeftOut) -> Take:
    passed = _gap(job, due, now)
    if passed.last == due:
        return Take(due=due, after=due)
    return Take(due=passed.last, after=passed.last, left_out=_gap(job, due, passed.last - _TICK), status=status)


def _take_recent(job: Job, due: datetime, now: datetime) -> Take:
    recent = _is_recent(job, due, now)
    passed = _gap(job, due, now)
    if _is_recent(job, passed.last, now):
        return _take_last(job, due, now, ExecutionStatus.COALESCED if recent else ExecutionStatus.MISSED)
    if recent:
        return Take(due=due, after=due)
    return Take(due=None, after=now, left_out=passed, status=ExecutionStatus.MISSED)


def _take_each(job: Job, due: datetime, now: datetime) -> Take:
    limit = job.spec.catch_up_limit
    passed = _gap(job, due, now)
    if passed.exact and passed.number <= limit:
        return Take(due=due, after=due)
    first = _limit_from_the_end(job, due, now, limit)
    if first <= due:
        return Take(due=due, after=due)
    return Take(due=first, after=first, left_out=_gap(job, due, first - _TICK), status=ExecutionStatus.MISSED)


def _limit_from_the_end(job: Job, due: datetime, now: datetime, limit: int) -> datetime:
    """Find the instant from which on at most about `limit` instants lie not after now, by halving."""
    low, high = due, now
    while high - low > timedelta(milliseconds=50):
        middle = low + (high - low) / 2
        first = _next(job, middle)
        if first is not None and first <= now and _gap(job, first, now).number >= limit:
            low = middle
        else:
            high = middle
    found = _next(job, low)
    return found if found is not None and found <= now else due


def _gap(job: Job, first: datetime, until: datetime) -> Gap:
    if job.spec.fixed_delay is not None:
        return Gap(first=first, last=first, number=1, exact=True)
    return gap(job.spec.schedule, first, until, anchor=job.spec.anchor, salt=job.id)


def _next(job: Job, after: datetime) -> datetime | None:
    return next_due(job.spec.schedule, after, anchor=job.spec.anchor, salt=job.id)


def next_plan(job: Job, after: datetime, *, runs: int) -> Plan:
    """Return the plan after the current one, with that many runs claimed: the first instant after `after`, if any."""
    if _spent(job, runs):
        return Plan(n=job.status.plan.n + 1)
    return Plan(n=job.status.plan.n + 1, due=_next(job, after))


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
            after = after if spec.paused_until <= after else spec.paused_until - _TICK
            plan = next_plan(job, after, runs=status.runs)
    elif spec.fixed_delay is None or not under_way(status.running, status.retries):
        plan = next_plan(job, after, runs=status.runs)
    return replace(job, status=replace(status, plan=plan, completed=None))


def delayed_plan(job: Job, now: datetime, *, runs: int) -> Plan:
    """Return the plan that counts its due from now, for a schedule that waits for its runs."""
    schedule = job.spec.schedule
    assert isinstance(schedule, Interval)
    due = _later(now, schedule.period)
    over = due > (schedule.end_at or _LATEST) or due == _LATEST
    return Plan(n=job.status.plan.n + 1, due=None if over or _spent(job, runs) else due)


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
    reason = "max_runs reached" if _spent(job, status.runs) else "no further instant"
    return replace(job, status=replace(status, completed=reason))


def start_of(job: Job, due: datetime) -> datetime:
    """Return when a run of that due starts: jitter moves the start, never the plan."""
    if not job.spec.schedule.jitter:
        return due
    return _later(due, jitter_of(job.spec.schedule, due, uid=job.uid))


def start_of_running(job: Job, entry: Running) -> datetime:
    """Return when an execution was to start; one that was asked for by hand knows no jitter."""
    return entry.due if entry.manual else start_of(job, entry.due)


def _later(instant: datetime, delay: timedelta) -> datetime:
    """Add a delay, as far as time goes."""
    return instant + min(delay, _LATEST - instant)


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


def _spent(job: Job, runs: int) -> bool:
    limit = job.spec.schedule.max_runs
    return limit is not None and runs >= limit


class History(TypedDict):
    """What a job keeps of its spec when it is asked for anew."""

    generation: int
    anchor: datetime
    active: bool
    paused_until: datetime | None
    pause_reason: str | None


def history_of(spec: Spec) -> History:
    return History(
        generation=spec.generation,
        anchor=spec.anchor,
        active=spec.active,
        paused_until=spec.paused_until,
        pause_reason=spec.pause_reason,
    )


def paused(spec: Spec, until: datetime | None, reason: str | None) -> Spec:
    return replace(spec, generation=spec.generation + 1, active=False, paused_until=until, pause_reason=reason)


def awake(spec: Spec) -> Spec:
    """Return the spec of a job that is not, or no longer, paused."""
    return spec if spec.active else replace(spec, active=True, paused_until=None, pause_reason=None)


def same_work(a: Spec, b: Spec) -> bool:
    """Whether two specs ask for the same, whatever their history: generation, anchor and pause."""
    return a == replace(b, **history_of(a))
