"""What clients change: one write each, the plan only where it must."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from natsched.core.changes import Change, create, pause, resume, trigger, ttl_of, update
from natsched.core.documents import decode_job, encode_job
from natsched.core.endings import Outcome, finish
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import MAX_MANUAL, ExecutionId, Job, Manual, Plan, Running, Spec, Status
from natsched.core.schedules import Interval, Once, gap
from natsched.errors import TooManyEntries
from tests.core.strategies import HERE, JOB, due_jobs, durations, instant_of, jobs, moments, specs, times
from tests.factories import NOON, make_job, make_spec

HOUR = timedelta(hours=1)
FIRST = ExecutionId("BILLING_DAILY-1")
asked = specs(active=True, paused_until=None)


@st.composite
def changes(draw: st.DrawFn) -> tuple[Job, Job | None, datetime]:
    """Any change of any job: before, after (None if nothing was to be done), and when."""
    job = draw(jobs())
    now = draw(times(job))
    match draw(st.sampled_from(("update", "reschedule", "pause", "resume", "trigger"))):
        case "update":
            changed = update(job, replace(job.spec, handler="new"), now)
        case "reschedule":
            changed = update(job, draw(asked), now)
        case "pause":
            changed = pause(job, now, draw(st.none() | moments))
        case "resume":
            changed = resume(job, now)
        case _:
            changed = Change(job=trigger(job, ExecutionId("by-hand"), {"a": 1}, now))
    return job, None if changed is None else changed.job, now


# Properties


@given(changes())
def test_the_number_of_the_plan_grows_with_each_change_of_it_and_only_then(
    change: tuple[Job, Job | None, datetime],
) -> None:
    before, after, _ = change
    if after is not None:
        assert after.status.plan.n >= before.status.plan.n
        assert (after.status.plan.n == before.status.plan.n) == (after.status.plan == before.status.plan)


@given(changes())
def test_no_change_touches_what_is_running_or_the_count_of_runs(
    change: tuple[Job, Job | None, datetime],
) -> None:
    before, after, _ = change
    if after is not None:
        assert after.status.running == before.status.running
        assert after.status.runs == before.status.runs
        assert after.status.manual.items() >= before.status.manual.items()
        assert (after.id, after.uid, after.spec.anchor) == (before.id, before.uid, before.spec.anchor)


@given(changes())
def test_a_job_is_completed_when_nothing_more_can_come_and_only_then(
    change: tuple[Job, Job | None, datetime],
) -> None:
    _, after, now = change
    if after is not None:
        status = after.status
        open_ended = status.plan.due is not None or status.running or status.manual
        assert (status.completed is None) == bool(open_ended or not after.spec.is_active(now))
        assert (ttl_of(after, HOUR) is None) == (status.completed is None)


@given(changes())
def test_a_change_can_be_read_again(change: tuple[Job, Job | None, datetime]) -> None:
    _, after, _ = change
    if after is not None:
        assert decode_job(encode_job(after), key=JOB) == after


@given(due_jobs(specs(paused_since=None)), asked, st.data())
def test_what_was_due_and_unclaimed_is_superseded_counted_and_recorded(
    job: Job, wanted: Spec, data: st.DataObject
) -> None:
    now, due = data.draw(times(job)), job.status.plan.due
    assert due is not None
    changed = update(job, wanted, now)
    if changed is None or changed.job.status.plan == job.status.plan:
        return
    counts = changed.job.status.counts
    superseded = counts.get(ExecutionStatus.SUPERSEDED, 0)
    if due > now:
        assert not changed.records
        assert superseded == 0
        assert changed.job.status.last_due == job.status.last_due
        return
    last = changed.job.status.last_due
    assert last is not None
    if job.spec.fixed_delay is None:
        following = instant_of(job, last)
        assert following is None or following > now
        passed = gap(job.spec.schedule, due, last, anchor=job.spec.anchor, salt=job.id)
        assert superseded == passed.number
    else:
        assert superseded == 1
    assert [(record.status, record.number, record.attempt) for record in changed.records] == [
        (ExecutionStatus.SUPERSEDED, superseded, 0)
    ]
    assert all(record.execution == job.execution_id(job.status.plan.n) for record in changed.records)


@given(jobs(), moments, st.integers(1, 99), moments)
def test_asking_for_the_same_again_writes_nothing(job: Job, now: datetime, generation: int, anchor: datetime) -> None:
    again = replace(job.spec, generation=generation, anchor=anchor, active=True, paused_until=None)
    assert update(job, again, now) is None


@given(jobs(), asked, moments)
def test_an_update_keeps_the_plan_unless_schedule_or_queue_differ(job: Job, wanted: Spec, now: datetime) -> None:
    same = replace(wanted, schedule=job.spec.schedule, queue=job.spec.queue)
    changed = update(job, same, now)
    if changed is not None and job.status.plan.due is not None:
        assert changed.job.status == job.status
        assert not changed.records
    other = update(job, wanted, now)
    if wanted.schedule != job.spec.schedule or wanted.queue != job.spec.queue:
        assert other is not None
        assert other.job.status.plan.n > job.status.plan.n
        assert other.job.spec.generation == job.spec.generation + 1
        assert (other.job.spec.active, other.job.spec.paused_until) == (job.spec.active, job.spec.paused_until)


@given(jobs(specs(active=True, paused_until=None)), moments, durations(timedelta(0), timedelta(days=1)))
def test_pause_and_resume_plan_the_first_instant_after_now_and_the_last_due(
    job: Job, now: datetime, later: timedelta
) -> None:
    paused = pause(job, now)
    assert paused is not None
    assert paused.job.status.plan == Plan(n=job.status.plan.n + 1)
    assert paused.job.state(now + later) == "paused"
    resumed = resume(paused.job, now + later)
    assert resumed is not None
    assert resumed.job.state(now) != "paused"
    last = paused.job.status.last_due
    after = now + later if last is None else max(now + later, last)
    limit = job.spec.schedule.max_runs
    waiting = job.spec.fixed_delay is not None and any(not entry.manual for entry in job.status.running.values())
    if waiting or (limit is not None and job.status.runs >= limit):
        assert resumed.job.status.plan.due is None
    elif job.spec.fixed_delay is None or instant_of(job, after) is not None:
        assert resumed.job.status.plan.due == instant_of(job, after)


@given(jobs(), moments, moments)
def test_a_pause_until_an_instant_plans_the_first_one_not_before_it(job: Job, now: datetime, until: datetime) -> None:
    assume(until > now)
    paused = pause(job, now, until)
    if paused is None:
        assert not job.spec.is_active(now)
        return
    assert paused.job.state(now) == "paused"
    assert paused.job.state(until) == "active"
    due = paused.job.status.plan.due
    if due is not None:
        assert due >= until
        last = paused.job.status.last_due
        edge = until - timedelta(microseconds=1)
        assert due == instant_of(job, edge if last is None else max(edge, last))
    assert pause(paused.job, now, until) is None


@given(jobs(), moments)
def test_a_run_asked_for_by_hand_touches_no_plan(job: Job, now: datetime) -> None:
    asked = trigger(job, FIRST, {"user": 42}, now)
    assert asked.status.manual == {**job.status.manual, FIRST: Manual(at=now, payload={"user": 42})}
    assert asked.status.plan == job.status.plan
    assert asked.spec == job.spec


@given(specs(active=True, paused_until=None), moments)
def test_a_new_job_is_planned_or_complete(spec: Spec, now: datetime) -> None:
    job = create(JOB, "01JE", spec, now)
    assert job.status.plan.n == 1
    due = job.status.plan.due
    assert due == instant_of(job, now)
    assert (job.status.completed is None) == (due is not None)
    assert decode_job(encode_job(job), key=JOB) == job


# Named cases


def test_an_instant_that_is_past_is_complete_when_ensured_and_runs_when_submitted() -> None:
    spec = make_spec(schedule=Once(NOON))
    late = NOON + HOUR
    ensured = create(JOB, "01JE", spec, late)
    assert ensured.status.completed == "no further instant"
    assert update(ensured, spec, late) is None
    submitted = create(JOB, "01JE", spec, late, late=True)
    assert submitted.status.plan == Plan(n=1, due=NOON)
    assert submitted.status.completed is None
    over = create(JOB, "01JE", make_spec(schedule=Interval(HOUR, end_at=NOON)), late, late=True)
    assert over.status.completed == "no further instant"


def test_an_update_after_an_early_claim_does_not_run_the_same_instant_twice() -> None:
    early = NOON - timedelta(milliseconds=20)
    job = make_job(n=2, due=NOON + HOUR, status=Status(plan=Plan(n=2, due=NOON + HOUR), last_due=NOON, runs=1))
    changed = update(job, make_spec(schedule=Interval(minutes=30)), early)
    assert changed is not None
    assert changed.job.status.plan == Plan(n=3, due=NOON + timedelta(minutes=30))
    assert not changed.records


def test_an_update_of_the_schedule_tells_of_what_was_due() -> None:
    changed = update(make_job(), make_spec(schedule=Interval(minutes=30)), NOON + 2.6 * HOUR)
    assert changed is not None
    assert changed.job.status.plan == Plan(n=2, due=NOON + 3 * HOUR)
    assert changed.job.status.last_due == NOON + 2 * HOUR
    assert changed.job.status.counts == {ExecutionStatus.SUPERSEDED: 3}
    (record,) = changed.records
    assert (record.first, record.last, record.number) == (NOON, NOON + 2 * HOUR, 3)
    assert record.generation == 1


def test_an_update_may_wake_a_job_that_is_complete() -> None:
    done = create(JOB, "01JE", make_spec(schedule=Once(NOON)), NOON + HOUR)
    changed = update(done, make_spec(schedule=Once(NOON + 2 * HOUR)), NOON + HOUR)
    assert changed is not None
    assert changed.job.status.completed is None
    assert changed.job.status.plan == Plan(n=2, due=NOON + 2 * HOUR)
    same = update(done, make_spec(schedule=Once(NOON), handler="other"), NOON + HOUR)
    assert same is not None
    assert ttl_of(same.job, HOUR) == HOUR


def test_a_paused_job_keeps_its_pause_when_it_is_updated() -> None:
    paused = pause(make_job(), NOON - HOUR)
    assert paused is not None
    changed = update(paused.job, make_spec(schedule=Interval(minutes=30)), NOON)
    assert changed is not None
    assert changed.job.state(NOON) == "paused"
    assert changed.job.status.plan.due is None
    assert changed.job.status.completed is None


def test_a_change_of_queue_alone_plans_anew_so_that_its_hint_moves() -> None:
    changed = update(make_job(n=4, due=NOON + HOUR), make_spec(queue="slow"), NOON)
    assert changed is not None
    assert changed.job.status.plan == Plan(n=5, due=NOON + HOUR)


def test_pausing_twice_writes_once_and_a_complete_job_is_not_paused() -> None:
    paused = pause(make_job(), NOON)
    assert paused is not None
    assert pause(paused.job, NOON) is None
    assert pause(paused.job, NOON, NOON + HOUR) is not None
    done = create(JOB, "01JE", make_spec(schedule=Once(NOON)), NOON + HOUR)
    assert pause(done, NOON) is None
    assert resume(done, NOON) is None
    assert resume(make_job(), NOON) is None


def test_resuming_a_fixed_delay_waits_for_the_run_that_goes_on() -> None:
    status = Status(plan=Plan(n=2), running={FIRST: Running(token=3, due=NOON, lease=HERE)}, last_due=NOON)
    job = make_job(schedule=Interval(HOUR, fixed_delay=True), status=status)
    paused = pause(job, NOON)
    assert paused is not None
    resumed = resume(paused.job, NOON + HOUR)
    assert resumed is not None
    assert resumed.job.status.plan.due is None
    end = NOON + 2 * HOUR
    ended = finish(resumed.job, FIRST, Outcome(status=ExecutionStatus.OK, started_at=NOON, ended_at=end))
    assert ended.status.plan.due == end + HOUR


def test_a_fixed_delay_whose_run_ended_in_a_pause_is_planned_again_by_resuming() -> None:
    status = Status(plan=Plan(n=2), running={FIRST: Running(token=3, due=NOON, lease=HERE)}, last_due=NOON)
    paused = pause(make_job(schedule=Interval(HOUR, fixed_delay=True), status=status), NOON)
    assert paused is not None
    outcome = Outcome(status=ExecutionStatus.OK, started_at=NOON, ended_at=NOON + timedelta(minutes=1))
    ended = finish(paused.job, FIRST, outcome)
    assert ended.status.plan.due is None
    assert ended.status.completed is None
    resumed = resume(ended, NOON + timedelta(minutes=90))
    assert resumed is not None
    assert resumed.job.status.plan.due == NOON + 2 * HOUR


def test_a_run_asked_for_by_hand_wakes_a_complete_job_until_it_ends() -> None:
    done = create(JOB, "01JE", make_spec(schedule=Once(NOON)), NOON + HOUR)
    woken = trigger(done, FIRST, None, NOON + HOUR)
    assert woken.status.completed is None
    assert ttl_of(woken, HOUR) is None


def test_too_many_runs_asked_for_by_hand_are_refused() -> None:
    job: Any = make_job()
    for number in range(MAX_MANUAL):
        job = trigger(job, ExecutionId(f"x-m{number}"), None, NOON)
    with pytest.raises(TooManyEntries, match="256 runs waiting"):
        trigger(job, FIRST, None, NOON)


@pytest.mark.parametrize("change", ["update", "pause", "resume"])
def test_every_change_of_the_spec_counts_its_generation(change: str) -> None:
    job = make_job(active=change != "resume")
    changed = {
        "update": lambda: update(job, make_spec(handler="other"), NOON),
        "pause": lambda: pause(job, NOON),
        "resume": lambda: resume(job, NOON),
    }[change]()
    assert changed is not None
    assert changed.job.spec.generation == job.spec.generation + 1
