"""Pauses: what falls due in one is told of once, when it ends, whatever ends it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from natsched.core.changes import Change, pause, remove, resume, update
from natsched.core.deciding import decide
from natsched.core.decisions import Claim
from natsched.core.documents import decode_job, encode_job
from natsched.core.endings import Outcome, finish
from natsched.core.executions import ExecutionStatus
from natsched.core.facts import Facts
from natsched.core.jobs import ExecutionId, Job, Manual, Plan, Retrying, Running, Status, Stored
from natsched.core.pauses import left_out_by_pause
from natsched.core.schedules import Cron, Interval, Once, gap
from natsched.errors import InvalidJob
from tests.core.strategies import HERE, due_jobs, durations, instant_of, repeating, specs, times
from tests.factories import NOON, make_job, make_plan_hint, make_spec

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def changed(change: Change | None) -> Job:
    assert change is not None
    return change.job


def told(change: Change | None) -> list[tuple[ExecutionStatus, int, datetime | None]]:
    assert change is not None
    return [(record.status, record.number, record.first) for record in change.records]


def test_a_reason_too_long_to_be_kept_is_refused() -> None:
    assert changed(pause(make_job(), NOON, reason="x" * 500)).spec.pause_reason == "x" * 500
    with pytest.raises(InvalidJob, match="reason: 501 characters are too many: 500 at most"):
        pause(make_job(), NOON, reason="x" * 501)


@given(
    due_jobs(specs(repeating, active=True, paused_until=None, paused_since=None)),
    st.data(),
    durations(timedelta(0), DAY),
    st.none() | durations(timedelta(0), DAY),
)
def test_each_instant_of_a_pause_is_told_of_once(
    job: Job, data: st.DataObject, lasts: timedelta, until: timedelta | None
) -> None:
    assert job.status.plan.due is not None
    assume(job.status.last_due is None or job.status.last_due < job.status.plan.due)
    now = data.draw(times(job))
    paused = changed(pause(job, now, None if until is None else now + until))
    end = now + lasts
    resumed = resume(paused, end)
    assert resumed is not None
    records = {record.status: record.number for record in resumed.records}
    first = instant_of(job, now if job.status.last_due is None else max(now, job.status.last_due))
    expected = 0
    if first is not None and first <= end:
        expected = gap(job.spec.schedule, first, end, anchor=job.spec.anchor, salt=job.id).number
    assert sum(records.values()) == expected
    counts = resumed.job.status.counts
    assert counts.get(ExecutionStatus.PAUSED, 0) == records.get(ExecutionStatus.PAUSED, 0)
    assert len({record.execution for record in resumed.records}) == len(resumed.records)
    assert left_out_by_pause(resumed.job, end + DAY) is None
    assert decode_job(encode_job(paused), key=job.id) == paused


def test_a_pause_is_told_of_by_its_record() -> None:
    paused = changed(pause(make_job(due=NOON + HOUR), NOON, None, "stock-taking"))
    assert paused.spec.paused_since == NOON
    so_far = left_out_by_pause(paused, NOON + 2.5 * HOUR)
    resumed = resume(paused, NOON + 3.5 * HOUR)
    assert resumed is not None
    (record,) = resumed.records
    assert (record.first, record.last, record.number) == (NOON + HOUR, NOON + 3 * HOUR, 3)
    assert (record.status, record.attempt, record.reason) == (ExecutionStatus.PAUSED, 0, "stock-taking")
    assert record.execution == f"{paused.uid}-p{paused.spec.generation}"
    assert so_far is not None
    assert (so_far.number, so_far.execution) == (2, record.execution)
    assert resumed.job.spec.paused_since is None
    assert resumed.job.status.last_due == NOON + 3 * HOUR
    assert resumed.job.status.counts == {ExecutionStatus.PAUSED: 3}


def test_a_pause_without_a_reason_has_one_in_its_record() -> None:
    record = left_out_by_pause(changed(pause(make_job(), NOON)), NOON + HOUR)
    assert record is not None
    assert record.reason == "the job was paused"


def test_the_run_that_ends_a_pause_tells_of_it_beside_what_it_runs_for() -> None:
    paused = changed(pause(make_job(due=NOON + HOUR), NOON, NOON + 3 * HOUR))
    for late, left_out in ((-0.02, []), (2 * 3600, [(ExecutionStatus.COALESCED, 2)])):
        now = NOON + 3 * HOUR + timedelta(seconds=late)
        facts = Facts(now=now, stored=Stored(id=paused.id, job=paused, revision=7), lease=HERE, authoritative=True)
        claim = decide(make_plan_hint(n=paused.status.plan.n), facts)
        assert isinstance(claim, Claim)
        found = [(record.status, record.number) for record in claim.records]
        assert found == [(ExecutionStatus.PAUSED, 2), *left_out]
        assert claim.job.status.counts == dict(found)
        assert claim.job.spec.active
        assert claim.job.spec.paused_since is None
        assert len({record.execution for record in claim.records}) == len(found)


def test_resuming_after_the_end_of_a_pause_tells_of_the_pause_and_of_what_was_due() -> None:
    paused = changed(pause(make_job(due=NOON + HOUR), NOON, NOON + 3 * HOUR))
    assert told(resume(paused, NOON + 4.5 * HOUR)) == [
        (ExecutionStatus.PAUSED, 2, NOON + HOUR),
        (ExecutionStatus.SUPERSEDED, 2, NOON + 3 * HOUR),
    ]


def test_pausing_a_paused_job_anew_is_the_same_pause() -> None:
    paused = changed(pause(make_job(due=NOON + HOUR), NOON))
    again = pause(paused, NOON + 2.5 * HOUR, None, "longer")
    assert told(again) == []
    assert changed(again).spec.paused_since == NOON
    assert told(resume(changed(again), NOON + 3.5 * HOUR)) == [(ExecutionStatus.PAUSED, 3, NOON + HOUR)]


def test_a_change_of_the_schedule_in_a_pause_tells_of_the_old_one() -> None:
    paused = changed(pause(make_job(due=NOON + HOUR), NOON))
    slower = update(paused, make_spec(schedule=Interval(HOUR, start_at=NOON + 30 * MINUTE)), NOON + 2.2 * HOUR)
    assert told(slower) == [(ExecutionStatus.PAUSED, 2, NOON + HOUR)]
    assert not changed(slower).spec.active
    assert told(resume(changed(slower), NOON + 3.6 * HOUR)) == [(ExecutionStatus.PAUSED, 2, NOON + 2.5 * HOUR)]
    other = update(paused, make_spec(handler="other"), NOON + 2.2 * HOUR)
    assert told(other) == []
    assert told(resume(changed(other), NOON + 3.2 * HOUR)) == [(ExecutionStatus.PAUSED, 3, NOON + HOUR)]


def test_a_change_of_the_schedule_after_the_end_of_a_pause_tells_of_it_once() -> None:
    paused = changed(pause(make_job(due=NOON + HOUR), NOON, NOON + 2 * HOUR))
    faster = update(paused, make_spec(schedule=Cron("* * * * *")), NOON + 1.99 * HOUR)
    assert told(faster) == [(ExecutionStatus.PAUSED, 1, NOON + HOUR)]
    after = update(paused, make_spec(schedule=Cron("* * * * *")), NOON + 2.01 * HOUR)
    assert [status for status, *_ in told(after)] == [ExecutionStatus.PAUSED, ExecutionStatus.SUPERSEDED]
    assert left_out_by_pause(changed(after), NOON + 3 * HOUR) is None
    between = pause(make_job(due=NOON + HOUR), NOON, NOON + 2.5 * HOUR)
    after = update(changed(between), make_spec(schedule=Cron("* * * * *")), NOON + 2.6 * HOUR)
    assert told(after) == [(ExecutionStatus.PAUSED, 2, NOON + HOUR)]
    assert left_out_by_pause(changed(after), NOON + 3 * HOUR) is None


def test_a_single_instant_that_falls_into_a_pause_is_told_of() -> None:
    paused = changed(pause(make_job(schedule=Once(NOON + HOUR), due=NOON + HOUR), NOON))
    assert left_out_by_pause(paused, NOON + 30 * MINUTE) is None
    assert told(resume(paused, NOON + 2 * HOUR)) == [(ExecutionStatus.PAUSED, 1, NOON + HOUR)]


@pytest.mark.parametrize("schedule", [Interval(HOUR, fixed_delay=True), Interval(HOUR, max_runs=3)])
def test_where_nothing_can_fall_due_nothing_is_told(schedule: Interval) -> None:
    job = make_job(schedule=schedule, status=Status(plan=Plan(n=4), runs=3, running={}))
    paused = replace(job, spec=replace(job.spec, active=False, paused_since=NOON))
    assert left_out_by_pause(paused, NOON + 9 * HOUR) is None


def test_what_was_due_when_a_job_paused_itself_is_told_of_with_the_pause() -> None:
    execution = ExecutionId("BILLING_DAILY-1")
    status = Status(
        plan=Plan(n=2, due=NOON + HOUR), running={execution: Running(token=1, due=NOON)}, last_due=NOON, runs=1
    )
    job = make_job(status=status, auto_pause_after=1, overlap="queue")
    end = NOON + 2.5 * HOUR
    paused = finish(job, execution, Outcome(status=ExecutionStatus.FAILED, started_at=NOON, ended_at=end, error="no"))
    assert not paused.spec.active
    resumed = resume(paused, NOON + 3.5 * HOUR)
    assert told(resumed) == [(ExecutionStatus.PAUSED, 3, NOON + HOUR)]
    assert resumed is not None
    assert "1 failures in a row" in str(resumed.records[0].reason)


def test_a_removal_tells_of_all_that_it_keeps_from_running() -> None:
    waiting = ExecutionId("BILLING_DAILY-m1")
    failed = ExecutionId("BILLING_DAILY-1")
    status = Status(
        plan=Plan(n=5, due=NOON),
        manual={waiting: Manual(at=NOON, payload={"a": 1})},
        retries={failed: Retrying(attempt=3, at=NOON + HOUR, due=NOON - HOUR)},
    )
    records = remove(make_job(status=status), NOON + 1.5 * HOUR)
    assert [(record.execution, record.status, record.number) for record in records] == [
        ("BILLING_DAILY-5", ExecutionStatus.SUPERSEDED, 2),
        (waiting, ExecutionStatus.CANCELLED, 1),
        (failed, ExecutionStatus.CANCELLED, 1),
    ]
    assert [record.manual for record in records] == [False, True, False]
    assert {record.attempt for record in records} == {0}
    assert {record.reason for record in records[1:]} == {"the job was removed"}
    assert [record.due for record in records[1:]] == [NOON, NOON - HOUR]
    assert remove(make_job(due=NOON + HOUR), NOON) == ()
    paused = changed(pause(make_job(due=NOON + HOUR), NOON))
    assert [record.status for record in remove(paused, NOON + 2 * HOUR)] == [ExecutionStatus.PAUSED]


def test_a_run_that_is_claimed_early_tells_of_the_pause_up_to_its_end() -> None:
    job = make_job(schedule=Interval(milliseconds=100), due=NOON + timedelta(seconds=0.1))
    paused = changed(pause(job, NOON, NOON + timedelta(seconds=3)))
    now = NOON + timedelta(seconds=2.75)
    facts = Facts(now=now, stored=Stored(id=paused.id, job=paused, revision=7), lease=HERE, authoritative=True)
    claim = decide(make_plan_hint(n=paused.status.plan.n), facts)
    assert isinstance(claim, Claim)
    assert claim.running.due == NOON + timedelta(seconds=3)
    assert [(record.status, record.number) for record in claim.records] == [(ExecutionStatus.PAUSED, 29)]
