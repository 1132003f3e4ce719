"""Plans: the next run, completion, and the plan after a change."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.jobs import ExecutionId, Job, Manual, Plan, Running, Spec, Status
from natsched.core.planning import next_plan, plan_hint, replan, same_work, settle
from natsched.core.schedules import Interval, Once, instants
from tests.core.strategies import due_jobs, instant_of, jobs, moments, specs
from tests.factories import NOON, make_job, make_spec

HOUR = timedelta(hours=1)


# Properties


@given(jobs(), moments)
def test_settling_completes_what_has_nothing_more_to_come(job: Job, now: Any) -> None:
    settled = settle(job, now)
    waits = bool(settled.status.running or settled.status.manual or settled.status.plan.due)
    assert (settled.status.completed is not None) == (job.spec.is_active(now) and not waits)
    assert settle(settled, now) == settled


@given(jobs(), moments)
def test_settling_touches_no_plan_that_has_a_due(job: Job, now: Any) -> None:
    settled = settle(job, now)
    if job.status.plan.due is not None:
        assert settled.status.plan == job.status.plan
    elif settled.status.plan != job.status.plan:
        assert job.spec.fixed_delay is not None
        assert settled.status.plan == Plan(n=job.status.plan.n + 1, due=now + job.spec.fixed_delay)
        assert all(entry.manual for entry in job.status.running.values())


@given(jobs(), moments)
def test_a_new_plan_is_the_first_instant_after_now_and_the_last_due(job: Job, now: Any) -> None:
    planned = replan(job, now)
    assert planned.status.plan.n == job.status.plan.n + 1
    due = planned.status.plan.due
    spec, last = job.spec, job.status.last_due
    after = now if last is None else max(now, last)
    if due is None:
        return
    assert due > after
    limit = spec.schedule.max_runs
    assert limit is None or job.status.runs < limit
    if spec.is_active(now):
        assert due == instant_of(job, after)
    else:
        assert spec.paused_until is not None
        assert due >= spec.paused_until
        assert due == instant_of(job, max(after, spec.paused_until - timedelta(microseconds=1)))


@given(jobs(specs(max_crashes=1)), moments)
def test_a_job_with_an_instant_left_is_planned_unless_paused_for_good_or_waiting(job: Job, now: Any) -> None:
    last = job.status.last_due
    after = now if last is None else max(now, last)
    limit = job.spec.schedule.max_runs
    left = instant_of(job, after) is not None and (limit is None or job.status.runs < limit)
    waiting = job.spec.fixed_delay is not None and any(not entry.manual for entry in job.status.running.values())
    if left and job.spec.is_active(now) and not waiting:
        assert replan(job, now).status.plan.due is not None


@given(due_jobs(), st.integers(1, 99))
def test_the_hint_of_a_plan_names_it_and_starts_no_earlier_than_its_due(job: Job, revision: int) -> None:
    hint = plan_hint(job, revision)
    assert hint is not None
    due, jitter = job.status.plan.due, job.spec.schedule.jitter or timedelta(0)
    assert due is not None
    assert (hint.uid, hint.n, hint.revision, hint.queue) == (job.uid, job.status.plan.n, revision, job.spec.queue)
    assert due <= hint.start <= due + jitter


@given(specs(), specs(), moments)
def test_the_history_of_a_spec_is_not_what_was_asked_for(a: Spec, b: Spec, anchor: Any) -> None:
    assert same_work(a, replace(a, generation=99, anchor=anchor, active=not a.active, paused_until=anchor))
    assert same_work(a, b) == same_work(b, a)


# Named cases


def test_a_job_without_a_due_is_owed_no_hint() -> None:
    assert plan_hint(make_job(due=None), 1) is None


def test_the_runs_of_a_job_are_counted_to_its_limit() -> None:
    schedule = Interval(HOUR, max_runs=2)
    for runs, due in ((0, NOON + HOUR), (1, NOON + HOUR), (2, None), (3, None)):
        job = make_job(schedule=schedule, status=Status(plan=Plan(n=5, due=NOON)))
        assert next_plan(job, NOON, runs=runs) == Plan(n=6, due=due)


def test_a_limit_that_is_reached_is_the_reason_of_completion() -> None:
    job = make_job(schedule=Interval(HOUR, max_runs=2), status=Status(plan=Plan(n=3), runs=2))
    assert settle(job, NOON).status.completed == "max_runs reached"
    past = make_job(schedule=Once(NOON), status=Status(plan=Plan(n=2), runs=1))
    assert settle(past, NOON).status.completed == "no further instant"


@pytest.mark.parametrize(
    "status",
    [
        Status(plan=Plan(n=1), running={ExecutionId("U-0"): Running(token=1, due=NOON)}),
        Status(plan=Plan(n=1), manual={ExecutionId("U-m1"): Manual(at=NOON)}),
        Status(plan=Plan(n=1, due=NOON)),
    ],
)
def test_what_has_something_to_come_is_not_complete(status: Status) -> None:
    job = make_job(schedule=Once(NOON), status=status)
    assert settle(job, NOON) is job
    assert settle(make_job(active=False, due=None), NOON).status.completed is None


def test_a_fixed_delay_that_would_pass_its_end_is_complete() -> None:
    schedule = Interval(HOUR, fixed_delay=True, end_at=NOON + HOUR)
    job = make_job(schedule=schedule, due=None)
    assert settle(job, NOON).status.plan == Plan(n=2, due=NOON + HOUR)
    late = settle(job, NOON + timedelta(microseconds=1))
    assert late.status.plan == Plan(n=1)
    assert late.status.completed == "no further instant"


def test_a_fixed_delay_does_not_plan_while_a_scheduled_run_of_it_goes_on() -> None:
    schedule = Interval(HOUR, fixed_delay=True)
    entry = Running(token=1, due=NOON)
    for manual in (False, True):
        running = {ExecutionId("U-0"): replace(entry, manual=manual)}
        job = make_job(schedule=schedule, status=Status(plan=Plan(n=1), running=running))
        assert (settle(job, NOON).status.plan.due is not None) == manual
        assert (replan(job, NOON).status.plan.due is not None) == manual


def test_intervals_keep_their_phase_whenever_they_are_planned() -> None:
    job = make_job(schedule=Interval(minutes=7))
    for minutes in (0, 1, 50, 1000):
        due = replan(job, NOON + timedelta(minutes=minutes)).status.plan.due
        assert due is not None
        assert (due - NOON) % timedelta(minutes=7) == timedelta(0)


def test_specs_that_ask_for_different_work_differ() -> None:
    assert not same_work(make_spec(), make_spec(handler="other"))
    assert not same_work(make_spec(), make_spec(schedule=Interval(HOUR, max_runs=3)))
    assert list(instants(Once(NOON), NOON, anchor=NOON, salt="")) == []
