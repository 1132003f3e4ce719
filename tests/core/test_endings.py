"""How executions end: what is recorded, counted and planned."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from natsched.core.documents import decode_record, encode_job, encode_record
from natsched.core.endings import Outcome, finish, holds, is_kept, record_of, record_of_none, release
from natsched.core.executions import DID_NOT_RUN, FAILURES, FINAL, ExecutionStatus
from natsched.core.jobs import ExecutionId, Job, LeaseId, Plan, Running, Status
from natsched.core.planning import settle
from natsched.core.schedules import Gap, Interval, Once
from tests.core.strategies import HERE, jobs, moments
from tests.factories import NOON, make_job, make_record

FIRST = ExecutionId("BILLING_DAILY-1")
RAN = sorted(FINAL - DID_NOT_RUN)
busy = jobs().filter(lambda job: bool(job.status.running))
outcomes = st.builds(
    Outcome,
    status=st.sampled_from(RAN),
    started_at=st.none() | moments,
    ended_at=moments,
    error=st.none() | st.text(),
)


def running_job(**spec: Any) -> Job:
    status = Status(plan=Plan(n=2, due=NOON), running={FIRST: Running(token=3, due=NOON, lease=HERE, attempt=2)})
    return make_job(status=status, **spec)


# Properties


@given(busy, outcomes, st.data())
def test_a_finish_leaves_no_execution_behind_and_counts_one(job: Job, outcome: Outcome, data: st.DataObject) -> None:
    execution = data.draw(st.sampled_from(sorted(job.status.running)))
    ended = finish(job, execution, outcome)
    assert ended.status.running == {key: job.status.running[key] for key in job.status.running if key != execution}
    assert ended.status.manual == job.status.manual
    assert ended.status.counts[outcome.status] == job.status.counts.get(outcome.status, 0) + 1
    assert sum(ended.status.counts.values()) == sum(job.status.counts.values()) + 1
    assert ended.status.last is not None
    assert (ended.status.last.execution, ended.status.last.status) == (execution, outcome.status)
    assert ended.spec == job.spec
    assert ended.status.runs == job.status.runs


@given(busy, outcomes, st.data())
def test_a_finish_plans_nothing_but_the_next_of_a_fixed_delay(
    job: Job, outcome: Outcome, data: st.DataObject
) -> None:
    execution = data.draw(st.sampled_from(sorted(job.status.running)))
    ended = finish(job, execution, outcome)
    if ended.status.plan == job.status.plan:
        return
    delay = job.spec.fixed_delay
    assert delay is not None
    assert job.status.plan.due is None
    assert ended.status.plan == Plan(n=job.status.plan.n + 1, due=outcome.ended_at + delay)
    assert all(entry.manual for entry in ended.status.running.values())
    assert job.spec.is_active(outcome.ended_at)


@given(busy, outcomes, st.data())
def test_a_job_completes_with_the_end_of_its_last_run(job: Job, outcome: Outcome, data: st.DataObject) -> None:
    execution = data.draw(st.sampled_from(sorted(job.status.running)))
    ended = finish(job, execution, outcome)
    status = ended.status
    open_ended = status.plan.due is not None or status.running or status.manual
    assert (status.completed is None) == bool(open_ended or not job.spec.is_active(outcome.ended_at))
    assert settle(ended, outcome.ended_at) == ended


@given(busy, st.data())
def test_what_is_given_back_is_nobodys_and_nothing_else_changes(job: Job, data: st.DataObject) -> None:
    execution = data.draw(st.sampled_from(sorted(job.status.running)))
    entry = job.status.running[execution]
    assume(entry.lease is not None)
    assert entry.lease is not None
    assert holds(job, execution, token=entry.token, lease=entry.lease)
    released = release(job, execution)
    assert not holds(released, execution, token=entry.token, lease=entry.lease)
    assert released.status.running[execution] == replace(entry, lease=None)
    back = replace(released, status=replace(released.status, running=job.status.running))
    assert back == job


@given(busy, outcomes, st.data())
def test_whatever_a_handler_says_the_end_can_be_stored(job: Job, outcome: Outcome, data: st.DataObject) -> None:
    text = data.draw(st.none() | st.text(st.characters()))
    outcome = replace(outcome, error=text, traceback=text)
    execution = data.draw(st.sampled_from(sorted(job.status.running)))
    record = record_of(job, execution, job.status.running[execution], outcome, replica="r1")
    assert decode_record(encode_record(record)) == record
    assert encode_job(finish(job, execution, outcome))


# Named cases


def test_a_holder_is_token_and_lease_together() -> None:
    job = running_job()
    assert holds(job, FIRST, token=3, lease=HERE)
    assert not holds(job, FIRST, token=4, lease=HERE)
    assert not holds(job, FIRST, token=3, lease=LeaseId("lease.other.1"))
    assert not holds(job, ExecutionId("BILLING_DAILY-2"), token=3, lease=HERE)


def test_a_lone_surrogate_in_an_error_is_escaped() -> None:
    outcome = Outcome(status=ExecutionStatus.FAILED, started_at=NOON, ended_at=NOON, error="no file \udcff")
    assert outcome.error == "no file \\udcff"


def test_a_record_tells_what_ran_and_how() -> None:
    job = running_job(handler="report", queue="slow", metadata={"team": "core"})
    end = NOON + timedelta(seconds=2)
    outcome = Outcome(status=ExecutionStatus.FAILED, started_at=NOON, ended_at=end, error="boom", traceback="...")
    assert record_of(job, FIRST, job.status.running[FIRST], outcome, replica="r1") == make_record(
        attempt=2,
        status=ExecutionStatus.FAILED,
        handler="report",
        queue="slow",
        replica="r1",
        started_at=NOON,
        ended_at=end,
        error="boom",
        traceback="...",
        metadata={"team": "core"},
    )


def test_what_did_not_run_is_one_record_however_many_instants() -> None:
    passed = Gap(first=NOON, last=NOON + timedelta(hours=4), number=5)
    record = record_of_none(make_job(n=9), passed, ExecutionStatus.MISSED, "too late", now=NOON)
    assert (record.execution, record.attempt, record.due) == ("BILLING_DAILY-9", 0, NOON + timedelta(hours=4))
    assert (record.first, record.last, record.number, record.exact) == (passed.first, passed.last, 5, True)
    assert (record.reason, record.started_at, record.replica) == ("too late", None, None)


@pytest.mark.parametrize("status", sorted(ExecutionStatus))
def test_a_history_keeps_what_its_job_asks_for(status: ExecutionStatus) -> None:
    record = make_record(status=status)
    assert is_kept(make_job(history="all"), record)
    assert is_kept(make_job(history="failures"), record) == (status in FAILURES)
    assert not is_kept(make_job(history="none"), record)
    assert is_kept(make_job(history="none"), replace(record, manual=True))


def test_the_last_run_of_a_schedule_completes_its_job() -> None:
    status = Status(plan=Plan(n=2), running={FIRST: Running(token=3, due=NOON, lease=HERE)}, runs=1)
    job = make_job(schedule=Once(NOON), status=status)
    outcome = Outcome(status=ExecutionStatus.FAILED, started_at=NOON, ended_at=NOON)
    assert finish(job, FIRST, outcome).status.completed == "no further instant"


def test_a_fixed_delay_goes_on_only_after_the_last_of_its_scheduled_runs() -> None:
    hour = timedelta(hours=1)
    second = ExecutionId("BILLING_DAILY-2")
    entry = Running(token=3, due=NOON, lease=HERE)
    status = Status(plan=Plan(n=3), running={FIRST: entry, second: entry})
    job = make_job(schedule=Interval(hour, fixed_delay=True), overlap="allow", status=status)
    end: datetime = NOON + hour
    one = finish(job, second, Outcome(status=ExecutionStatus.OK, started_at=NOON, ended_at=NOON))
    assert one.status.plan == Plan(n=3)
    both = finish(one, FIRST, Outcome(status=ExecutionStatus.OK, started_at=NOON, ended_at=end))
    assert both.status.plan == Plan(n=4, due=end + hour)
