"""Retries: how long they wait, what is worth one, and what follows when none is left."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.backoff import RetryPolicy, delay_of
from natsched.core.endings import Outcome, finish
from natsched.core.executions import ExecutionStatus as S
from natsched.core.jobs import MAX_RETRIES, ExecutionId, Job, Retrying, Running
from natsched.core.planning import settle, under_way
from natsched.core.retries import Failure, judged
from natsched.core.schedules import Interval
from tests.core.strategies import JOB, LEASES
from tests.factories import NOON, make_job

EXECUTION = ExecutionId("U-1")
POLICY = RetryPolicy(max_attempts=3, base=10.0, jitter=0.0)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1000),
    backoff=st.sampled_from(("fixed", "exponential")),
    base=st.floats(0, 1e6),
    factor=st.floats(1, 1000),
    max_delay=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)


def failed(attempt: int = 1, status: S = S.FAILED, **options: Any) -> tuple[Job, Running, Outcome]:
    """Return a job of which one execution has just failed, its entry and the outcome."""
    entry = Running(token=1, due=NOON, lease=LEASES[0], attempt=attempt)
    job = make_job(JOB, schedule=Interval(hours=1), **options)
    job = replace(job, status=replace(job.status, running={EXECUTION: entry}))
    return job, entry, Outcome(status=status, started_at=NOON, ended_at=NOON + timedelta(seconds=1), error="no")


# How long


@given(policies, st.integers(1, 1000))
def test_a_delay_is_never_longer_than_is_allowed_and_the_same_for_all(policy: RetryPolicy, attempt: int) -> None:
    delay = delay_of(policy, "U-1", attempt)
    assert timedelta(0) <= delay <= timedelta(seconds=policy.max_delay)
    assert delay == delay_of(policy, "U-1", attempt)


def test_delays_double_up_to_the_longest() -> None:
    policy = RetryPolicy(base=1.0, factor=2.0, max_delay=10.0, jitter=0.0)
    assert [delay_of(policy, "x", n).total_seconds() for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_a_fixed_delay_stays() -> None:
    policy = RetryPolicy(backoff="fixed", base=7.0, jitter=0.0)
    assert {delay_of(policy, "x", n).total_seconds() for n in range(1, 7)} == {7.0}


def test_jitter_spreads_what_failed_together_over_its_share() -> None:
    policy = RetryPolicy(backoff="fixed", base=100.0, jitter=0.25)
    delays = [delay_of(policy, f"U-{n}", 1).total_seconds() for n in range(500)]
    assert 75 <= min(delays) < 77
    assert 98 < max(delays) <= 100


# Whether


def test_a_failure_is_tried_again_until_its_attempts_are_spent() -> None:
    for attempt, status in ((1, S.RETRYING), (2, S.RETRYING), (3, S.DEAD), (4, S.DEAD)):
        job, entry, outcome = failed(attempt, retry=POLICY)
        assert judged(job, EXECUTION, entry, outcome, Failure()).status is status


def test_a_job_without_a_policy_just_fails_unless_its_handler_asks() -> None:
    job, entry, outcome = failed()
    assert judged(job, EXECUTION, entry, outcome, Failure()) is outcome
    assert judged(job, EXECUTION, entry, outcome, Failure(again=True)).status is S.RETRYING
    assert judged(job, EXECUTION, entry, outcome, Failure(again=False)).status is S.DEAD


@pytest.mark.parametrize(
    ("names", "status", "found"),
    [
        (("OSError",), S.FAILED, S.RETRYING),
        (("KeyError",), S.FAILED, S.DEAD),
        (("failed",), S.FAILED, S.RETRYING),
        (("timed_out",), S.FAILED, S.DEAD),
        (("timed_out",), S.TIMED_OUT, S.RETRYING),
        ((), S.TIMED_OUT, S.RETRYING),
    ],
)
def test_retry_on_names_what_is_worth_an_attempt(names: tuple[str, ...], status: S, found: S) -> None:
    job, entry, outcome = failed(status=status, retry=replace(POLICY, retry_on=names))
    failure = Failure(names=("ConnectionError", "OSError", "Exception"))
    assert judged(job, EXECUTION, entry, outcome, failure).status is found


def test_a_handler_may_say_when() -> None:
    job, entry, outcome = failed(retry=POLICY)
    for after, waited in ((None, 10), (90.0, 90), (-5.0, 0)):
        judgement = judged(job, EXECUTION, entry, outcome, Failure(again=True, after=after))
        assert judgement.retry_at == outcome.ended_at + timedelta(seconds=waited)


def test_a_job_with_too_many_that_wait_buries_the_next_and_says_so() -> None:
    job, entry, outcome = failed(retry=POLICY)
    waiting = {ExecutionId(f"W-{n}"): Retrying(attempt=2, at=NOON, due=NOON) for n in range(MAX_RETRIES)}
    job = replace(job, status=replace(job.status, retries=waiting))
    judgement = judged(job, EXECUTION, entry, outcome, Failure())
    assert judgement.status is S.DEAD
    assert judgement.reason == "256 executions of the job wait for another attempt already"


# What follows


def test_what_is_tried_again_waits_and_is_not_counted_as_an_end() -> None:
    job, entry, outcome = failed(attempt=2, retry=POLICY)
    judgement = judged(job, EXECUTION, entry, outcome, Failure())
    ended = finish(job, EXECUTION, judgement)
    assert ended.status.running == {}
    assert judgement.retry_at is not None
    assert ended.status.retries == {EXECUTION: Retrying(attempt=3, at=judgement.retry_at, due=NOON)}
    assert (ended.status.counts, ended.status.failures, ended.status.completed) == ({}, 0, None)
    assert under_way(ended.status.running, ended.status.retries)


def test_failures_are_counted_until_a_success_and_pause_the_job_at_the_limit() -> None:
    job, _, outcome = failed(auto_pause_after=2)
    one = finish(job, EXECUTION, outcome)
    assert (one.status.failures, one.spec.active) == (1, True)
    again = replace(one, status=replace(one.status, running=job.status.running))
    two = finish(again, EXECUTION, outcome)
    assert (two.status.failures, two.spec.active, two.status.plan.due) == (2, False, None)
    assert two.spec.pause_reason == "2 failures in a row, the last: no"
    assert two.status.plan.n == one.status.plan.n + 1
    assert finish(again, EXECUTION, replace(outcome, status=S.OK)).status.failures == 0


def test_a_success_may_leave_the_count_as_it_is() -> None:
    job, _, outcome = failed(retry=replace(POLICY, reset_on_success=False))
    job = replace(job, status=replace(job.status, failures=4))
    assert finish(job, EXECUTION, replace(outcome, status=S.OK)).status.failures == 4


def test_a_job_is_not_complete_while_an_execution_waits_for_its_attempt() -> None:
    job, entry, outcome = failed(retry=POLICY, due=None)
    waits = finish(job, EXECUTION, judged(job, EXECUTION, entry, outcome, Failure()))
    assert settle(waits, NOON).status.completed is None
    assert settle(replace(waits, status=replace(waits.status, retries={})), NOON).status.completed is not None
