"""Catching up: what the policies make of a plan that is looked at late, or too late."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.catching_up import LATE, TOO_OLD, take
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.planning import start_of
from natsched.core.schedules import Cron, Interval, Once, gap
from tests.core.strategies import due_jobs, instant_of, repeating, specs, times
from tests.factories import NOON, make_job

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
FOR_EVER: Any = {"deadline": None, "catch_up_window": None}


def number_of(job: Job, first: Any, until: Any) -> int:
    return gap(job.spec.schedule, first, until, anchor=job.spec.anchor, salt=job.id).number


# Properties


@given(due_jobs(specs(repeating)), st.data())
def test_what_runs_and_what_is_left_out_are_all_instants_to_the_next_due(job: Job, data: st.DataObject) -> None:
    due = job.status.plan.due
    assert due is not None
    now = data.draw(times(job))
    taken = take(job, now)
    last = taken.after
    assert instant_of(job, last - TICK) == last
    left = 0 if taken.left_out is None else taken.left_out.number
    assert left + (taken.due is not None) == number_of(job, due, last)
    if taken.left_out is not None and taken.due is not None:
        first = min(taken.due, taken.left_out.first)
        assert first == due
        assert not taken.left_out.first <= taken.due <= taken.left_out.last


@given(due_jobs(specs(repeating, catch_up="latest", **FOR_EVER)), st.data())
def test_latest_runs_the_last_instant_not_after_now(job: Job, data: st.DataObject) -> None:
    due = job.status.plan.due
    assert due is not None
    now = data.draw(times(job))
    taken = take(job, now)
    assert taken.due is not None
    if now - start_of(job, due) > LATE:
        assert taken.due <= now
        following = instant_of(job, taken.due)
        assert following is None or following > now
        assert taken.status is ExecutionStatus.COALESCED


@given(due_jobs(specs(repeating, catch_up="none", **FOR_EVER)), st.data())
def test_none_runs_nothing_that_is_later_than_its_tolerance(job: Job, data: st.DataObject) -> None:
    now = data.draw(times(job))
    taken = take(job, now)
    if taken.due is None:
        following = instant_of(job, taken.after)
        assert following is None or following > now
        assert taken.status is ExecutionStatus.MISSED
    else:
        assert (now - start_of(job, taken.due)).total_seconds() <= job.spec.tolerance


@given(due_jobs(specs(repeating, catch_up="all", **FOR_EVER)), st.data())
def test_all_makes_up_for_no_more_than_its_limit(job: Job, data: st.DataObject) -> None:
    due = job.status.plan.due
    assert due is not None
    now = data.draw(times(job))
    taken = take(job, now)
    assert taken.due is not None
    if now - start_of(job, due) <= LATE:
        assert taken.due == due
        return
    limit = job.spec.catch_up_limit
    assert number_of(job, taken.due, now) == min(limit, number_of(job, due, now))
    if taken.due != due:
        assert taken.status is ExecutionStatus.MISSED


def test_all_counts_its_limit_over_the_repeated_hour_too() -> None:
    """A search by halves must find the one instant, also where instants lie close or far apart."""
    job = make_job(schedule=Interval(milliseconds=100), catch_up="all", catch_up_limit=3)
    taken = take(job, NOON + timedelta(days=300, milliseconds=50))
    assert taken.due == NOON + timedelta(days=300, milliseconds=-200)
    assert taken.left_out is not None
    assert taken.left_out.number == 300 * 864_000 - 2


@given(due_jobs(specs(repeating, catch_up="earliest", **FOR_EVER)), st.data())
def test_earliest_runs_the_first_and_leaves_out_all_that_have_passed_since(job: Job, data: st.DataObject) -> None:
    due = job.status.plan.due
    assert due is not None
    now = data.draw(times(job))
    taken = take(job, now)
    assert taken.due == due
    if now - start_of(job, due) > LATE:
        following = instant_of(job, taken.after)
        assert following is None or following > now
        number = number_of(job, due, now) - 1
        assert (taken.left_out.number if taken.left_out else 0) == number


@given(due_jobs(specs(repeating, deadline=3000.0, catch_up_window=None)), st.data())
def test_nothing_runs_whose_deadline_has_passed_and_nothing_else_is_given_up_for_it(
    job: Job, data: st.DataObject
) -> None:
    due = job.status.plan.due
    assert due is not None
    now = data.draw(times(job))
    taken = take(job, now)
    edge = now - timedelta(seconds=3000)
    if taken.due is not None:
        assert taken.due > edge
    elif taken.status is ExecutionStatus.EXPIRED:
        assert due <= taken.after <= edge
        following = instant_of(job, taken.after)
        assert following is None or following > edge
    else:
        assert job.spec.catch_up == "none"


@given(due_jobs(specs(repeating, catch_up_window=2000.0, deadline=None)), st.data())
def test_nothing_is_made_up_for_that_is_older_than_the_window(job: Job, data: st.DataObject) -> None:
    now = data.draw(times(job))
    taken = take(job, now)
    edge = now - timedelta(seconds=2000) - (job.spec.schedule.jitter or timedelta(0))
    if taken.due is not None:
        late = now - start_of(job, taken.due) > LATE
        assert not late or job.spec.catch_up == "none" or taken.due >= edge
    elif taken.reason == TOO_OLD:
        following = instant_of(job, taken.after)
        assert taken.after < edge
        assert following is None or following >= edge
        assert taken.status is ExecutionStatus.MISSED
    else:
        assert job.spec.catch_up == "none"


# Named cases

MINUTELY = Cron("* * * * *")


def runs_of(job: Job, now: Any) -> list[tuple[str, int]]:
    """Take plan after plan until none is due: what runs, by its minutes after noon, and what is left out."""
    told: list[tuple[str, int]] = []
    due = job.status.plan.due
    while due is not None and due <= now:
        taken = take(make_job(n=1, due=due, schedule=job.spec.schedule, **options_of(job)), now)
        if taken.left_out is not None:
            told.append((taken.status.value, taken.left_out.number))
        if taken.due is not None:
            told.append(("runs", int((taken.due - NOON).total_seconds() // 60)))
        due = instant_of(job, taken.after)
    return told


def options_of(job: Job) -> dict[str, Any]:
    names = ("catch_up", "catch_up_limit", "catch_up_window", "deadline", "overlap", "tolerance")
    return {name: getattr(job.spec, name) for name in names}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"catch_up": "latest"}, [("coalesced", 10), ("runs", 10)]),
        ({"catch_up": "earliest"}, [("coalesced", 10), ("runs", 0)]),
        ({"catch_up": "latest", "catch_up_window": 210.0}, [("missed", 7), ("coalesced", 3), ("runs", 10)]),
        ({"catch_up": "earliest", "catch_up_window": 210.0}, [("missed", 7), ("coalesced", 3), ("runs", 7)]),
        (
            {"catch_up": "all", "catch_up_window": 210.0},
            [("missed", 7), ("runs", 7), ("runs", 8), ("runs", 9), ("runs", 10)],
        ),
        (
            {"catch_up": "all", "catch_up_window": 210.0, "catch_up_limit": 2},
            [("missed", 7), ("missed", 2), ("runs", 9), ("runs", 10)],
        ),
        ({"catch_up": "all", "catch_up_window": 9000.0, "catch_up_limit": 1}, [("missed", 10), ("runs", 10)]),
        ({"catch_up": "latest", "catch_up_window": 10.0}, [("missed", 11)]),
        ({"catch_up": "latest", "deadline": 211.0}, [("expired", 7), ("coalesced", 3), ("runs", 10)]),
        ({"catch_up": "earliest", "deadline": 211.0}, [("expired", 7), ("coalesced", 3), ("runs", 7)]),
        ({"catch_up": "none", "deadline": 211.0, "tolerance": 40.0}, [("expired", 7), ("missed", 3), ("runs", 10)]),
        (
            {"catch_up": "all", "deadline": 400.0, "catch_up_window": 90.0},
            [("expired", 4), ("missed", 5), ("runs", 9), ("runs", 10)],
        ),
    ],
)
def test_ten_minutes_and_a_half_of_minutes_that_nobody_saw(
    options: dict[str, Any], told: list[tuple[str, int]]
) -> None:
    assert runs_of(make_job(schedule=MINUTELY, **options), NOON + timedelta(minutes=10, seconds=30)) == told


def test_an_instant_expires_at_its_deadline_and_not_before() -> None:
    job = make_job(deadline=0.5)
    assert take(job, NOON + timedelta(seconds=0.499)).due == NOON
    expired = take(job, NOON + timedelta(seconds=0.5))
    assert (expired.due, expired.status) == (None, ExecutionStatus.EXPIRED)


def test_a_single_instant_that_is_too_old_or_expired_is_left_out() -> None:
    for options in ({"deadline": 60.0}, {"catch_up_window": 60.0}):
        job = make_job(schedule=Once(NOON), **options)  # type: ignore[arg-type]
        assert take(job, NOON + timedelta(seconds=59)).due == NOON
        taken = take(job, NOON + HOUR)
        assert taken.due is None
        assert taken.left_out is not None
        assert (taken.left_out.number, taken.after) == (1, NOON)


def test_what_waited_in_a_queue_is_one_run_of_the_first() -> None:
    job = make_job(schedule=Interval(milliseconds=100, start_at=NOON), overlap="queue", catch_up="earliest")
    taken = take(job, NOON + timedelta(milliseconds=350))
    assert (taken.due, taken.after) == (NOON, NOON + timedelta(milliseconds=300))
    assert taken.left_out is not None
    assert taken.left_out.number == 3
