"""Backfills: each instant of a range once, however often it is asked for, in their order."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.backfilling import backfill, instants_to_run, is_under_way
from natsched.core.deciding import decide
from natsched.core.decisions import Claim, Settle, Wait
from natsched.core.documents import decode_job, encode_job
from natsched.core.executions import ExecutionStatus
from natsched.core.facts import Facts
from natsched.core.hints import RunHint
from natsched.core.jobs import MAX_MANUAL, ExecutionId, Job, LeaseId, Manual, Running, Stored
from natsched.core.owed import freed
from natsched.core.schedules import Cron, Interval, Once
from natsched.core.waiting import ITS_TURN
from natsched.errors import InvalidJob, TooManyEntries
from tests.core.strategies import HERE, durations, instant_of, jobs, moments, repeating, specs
from tests.factories import NOON, make_job, make_run_hint

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
ANCHORED = Interval(HOUR, start_at=NOON - timedelta(days=9))


def facts(job: Job, now: datetime) -> Facts:
    return Facts(now=now, stored=Stored(id=job.id, job=job, revision=7), lease=HERE, authoritative=True)


@given(jobs(specs(repeating)), moments, durations(timedelta(0), timedelta(days=2)))
def test_a_backfill_is_all_instants_of_the_range_up_to_the_planned_one(
    job: Job, start: datetime, lasts: timedelta
) -> None:
    end = start + lasts + TICK
    try:
        found = instants_to_run(job, start, end, end)
    except TooManyEntries:
        return
    instants, one = [], instant_of(job, start - TICK)
    due = job.status.plan.due
    while one is not None and one < end and (due is None or one < due):
        instants.append(one)
        one = instant_of(job, one)
    assert list(found.values()) == instants
    assert len(found) == len(instants) <= MAX_MANUAL
    if not job.status.manual:
        asked = backfill(job, found, end)
        assert decode_job(encode_job(asked), key=job.id) == asked
        assert all(is_under_way(asked, execution) for execution in found)


def test_the_name_of_an_execution_follows_from_its_instant() -> None:
    job = make_job(schedule=Cron("* * * * *"), due=None)
    now = NOON + timedelta(minutes=5)
    assert instants_to_run(job, NOON, NOON + timedelta(minutes=2), now) == {
        "BILLING_DAILY-b20260101T120000000000Z": NOON,
        "BILLING_DAILY-b20260101T120100000000Z": NOON + timedelta(minutes=1),
    }


@pytest.mark.parametrize(
    ("spec", "start", "end", "told"),
    [
        ({}, NOON, NOON, "does not lie after"),
        ({}, NOON, NOON + 2 * HOUR, "lies ahead of now"),
        ({}, NOON.replace(tzinfo=None), NOON, "has no time zone"),
        ({"schedule": Interval(HOUR, fixed_delay=True)}, NOON - HOUR, NOON, "trigger it"),
    ],
)
def test_what_cannot_be_is_refused(spec: dict[str, Any], start: datetime, end: datetime, told: str) -> None:
    with pytest.raises(InvalidJob, match=told):
        instants_to_run(make_job(**spec), start, end, NOON + HOUR)


def test_more_than_may_wait_is_refused_and_says_how_much_would_do() -> None:
    job = make_job(schedule=Cron("* * * * *"), due=None)
    edge = NOON + MAX_MANUAL * timedelta(minutes=1)
    with pytest.raises(TooManyEntries, match=f"1,440 instants .* begin with those before {edge.isoformat()[:16]}"):
        instants_to_run(job, NOON, NOON + timedelta(days=1), NOON + timedelta(days=2))
    some = instants_to_run(job, NOON, edge, NOON + timedelta(days=2))
    assert len(some) == MAX_MANUAL
    asked = backfill(job, some, NOON)
    with pytest.raises(TooManyEntries, match="1 instants are to run and 256 runs"):
        backfill(asked, {ExecutionId("x"): NOON}, NOON)


def test_a_single_instant_that_has_passed_can_be_run_again() -> None:
    job = make_job(schedule=Once(NOON), due=None)
    assert list(instants_to_run(job, NOON - HOUR, NOON + HOUR, NOON + HOUR).values()) == [NOON]
    assert instants_to_run(job, NOON + TICK, NOON + HOUR, NOON + HOUR) == {}


@given(st.permutations(range(4)), st.sampled_from((None, 2)))
def test_they_are_claimed_in_the_order_of_their_instants(order: list[int], limit: int | None) -> None:
    job = make_job(schedule=ANCHORED, due=NOON + HOUR, max_concurrency=limit, overlap="skip")
    wanted = instants_to_run(job, NOON - 4 * HOUR, NOON, NOON)
    job = backfill(job, {execution: wanted[execution] for execution in [list(wanted)[k] for k in order]}, NOON)
    first, second, *_ = wanted
    assert decide(make_run_hint(execution=second), facts(job, NOON)) == Wait(until=NOON + ITS_TURN)
    claim = decide(make_run_hint(execution=first), facts(job, NOON + HOUR))
    assert isinstance(claim, Claim)
    assert (claim.running.due, claim.running.manual) == (NOON - 4 * HOUR, True)
    assert claim.job.status.plan == job.status.plan
    allowed = replace(job, spec=replace(job.spec, overlap="allow", max_concurrency=None))
    assert isinstance(decide(make_run_hint(execution=second), facts(allowed, NOON + HOUR)), Claim)


def test_a_backfill_knows_no_deadline_but_what_is_asked_for_by_hand_does() -> None:
    job = make_job(schedule=ANCHORED, due=NOON + HOUR, deadline=60.0)
    (execution,) = wanted = instants_to_run(job, NOON - HOUR, NOON, NOON)
    claim = decide(make_run_hint(execution=execution), facts(backfill(job, wanted, NOON), NOON + HOUR))
    assert isinstance(claim, Claim)
    assert claim.running.deadline is None
    manual = {execution: Manual(at=NOON, payload={"a": 1})}
    by_hand = replace(job, status=replace(job.status, manual=manual))
    late = decide(make_run_hint(execution=execution), facts(by_hand, NOON + timedelta(seconds=60)))
    assert isinstance(late, Settle)
    assert late.job.status.manual == {}
    assert late.job.status.counts == {ExecutionStatus.EXPIRED: 1}
    (record,) = late.records
    assert (record.execution, record.attempt, record.status) == (execution, 0, ExecutionStatus.EXPIRED)
    assert (record.manual, record.due, record.payload) == (True, NOON, {"a": 1})
    claim = decide(make_run_hint(execution=execution), facts(by_hand, NOON + timedelta(seconds=59)))
    assert isinstance(claim, Claim)
    assert claim.running.deadline == NOON + timedelta(seconds=60)


def test_an_end_wakes_only_what_may_begin_now() -> None:
    job = backfill(make_job(due=None), {ExecutionId(f"BILLING_DAILY-b{n}"): NOON + n * HOUR for n in range(5)}, NOON)
    running = {job.execution_id(1): Running(token=1, due=NOON, lease=LeaseId("lease.a.1"))}
    before = replace(job, status=replace(job.status, running=running))
    (hint,) = freed(before, job, 7, NOON)
    assert isinstance(hint, RunHint)
    assert hint.execution == "BILLING_DAILY-b0"
    assert len([*freed(before, replace(job, spec=replace(job.spec, max_concurrency=3)), 7, NOON)]) == 3
