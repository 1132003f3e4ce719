"""What may be asked of an execution that is under way, and what waits for its end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.control import cancel, cancelled, hold
from natsched.core.deciding import decide
from natsched.core.decisions import AskLeases, Claim, Displace, HandBack, Settle
from natsched.core.executions import ExecutionStatus
from natsched.core.facts import Facts
from natsched.core.jobs import MAX_REASON, ExecutionId, Job, LeaseId, Manual, Retrying, Running, Stored
from natsched.core.owed import freed
from natsched.core.schedules import Interval
from natsched.errors import InvalidJob
from tests.core.strategies import HERE, LEASES, jobs, times
from tests.factories import NOON, make_job, make_plan_hint, make_run_hint

RUNS, WAITS, AGAIN = ExecutionId("BILLING_DAILY-7"), ExecutionId("BILLING_DAILY-m1"), ExecutionId("BILLING_DAILY-6")
ENTRY = Running(token=3, due=NOON, lease=LEASES[0])


def busy(**spec: Any) -> Job:
    """A job of which one execution runs, one waits to begin and one for its next attempt."""
    job = make_job(n=8, due=NOON, **spec)
    status = replace(
        job.status,
        running={RUNS: ENTRY},
        manual={WAITS: Manual(at=NOON)},
        retries={AGAIN: Retrying(attempt=3, at=NOON, due=NOON)},
    )
    return replace(job, status=status)


def facts(job: Job, **known: Any) -> Facts:
    stored = Stored(id=job.id, job=job, revision=40)
    return Facts(now=NOON, stored=stored, lease=HERE, authoritative=True, **known)


@given(jobs(), st.data())
def test_to_cancel_what_runs_changes_nothing_but_its_entry_and_the_first_reason_stays(
    job: Job, data: st.DataObject
) -> None:
    job = replace(job, status=replace(job.status, running={**job.status.running, RUNS: ENTRY}))
    now = data.draw(times(job))
    change = cancel(job, RUNS, "first", now)
    assert change is not None
    assert change.records == ()
    entry = change.job.status.running[RUNS]
    assert entry == replace(ENTRY, cancel="first")
    assert replace(change.job, status=replace(change.job.status, running=job.status.running)) == job
    assert cancel(change.job, RUNS, "second", now) is None
    assert cancelled(change.job, [RUNS], "third").status.running[RUNS].cancel == "first"


@pytest.mark.parametrize(("execution", "attempt"), [(WAITS, 0), (AGAIN, 0)])
def test_what_only_waits_is_taken_out_counted_and_recorded(execution: ExecutionId, attempt: int) -> None:
    change = cancel(busy(), execution, "enough", NOON)
    assert change is not None
    (record,) = change.records
    assert (record.execution, record.attempt, record.status) == (execution, attempt, ExecutionStatus.CANCELLED)
    assert record.reason == "enough"
    status = change.job.status
    assert execution not in {*status.manual, *status.retries, *status.running}
    assert status.counts == {ExecutionStatus.CANCELLED: 1}
    assert {*status.manual, *status.retries} == {WAITS, AGAIN} - {execution}


def test_what_is_not_under_way_and_a_reason_too_long_are_refused_with_their_fields() -> None:
    with pytest.raises(InvalidJob, match=r"execution: BILLING_DAILY-9 of billing\.daily is not under way"):
        cancel(busy(), ExecutionId("BILLING_DAILY-9"), None, NOON)
    with pytest.raises(InvalidJob, match="execution: "):
        hold(busy(), AGAIN, paused=True)
    with pytest.raises(InvalidJob, match=f"reason: .* {MAX_REASON} at most"):
        cancel(busy(), RUNS, "x" * (MAX_REASON + 1), NOON)


def test_a_pause_is_asked_for_and_taken_back_once() -> None:
    held = hold(busy(), RUNS, paused=True)
    assert held is not None
    assert held.status.running[RUNS].paused
    assert hold(held, RUNS, paused=True) is None
    assert hold(held, RUNS, paused=False) == busy()


@pytest.mark.parametrize("lease", [LEASES[0], None])
def test_one_that_was_to_end_is_not_taken_over_but_ends(lease: LeaseId | None) -> None:
    job = busy()
    entry = replace(ENTRY, lease=lease, cancel="enough")
    job = replace(job, status=replace(job.status, running={RUNS: entry}))
    hint = make_run_hint(execution=RUNS, attempt=2)
    decision = decide(hint, facts(job, leases={LEASES[0]: False}, record_known=True))
    assert isinstance(decision, Settle)
    assert RUNS not in decision.job.status.running
    (record,) = decision.records
    assert (record.status, record.reason) == (ExecutionStatus.CANCELLED, "enough")


def test_replace_asks_those_that_run_to_end_once_and_then_waits_for_their_ends() -> None:
    job = replace(busy(overlap="replace"), status=replace(busy().status, manual={}, retries={}))
    hint = make_plan_hint(n=8)
    assert isinstance(decide(hint, facts(job)), AskLeases)
    first = decide(hint, facts(job, leases={LEASES[0]: True}))
    assert isinstance(first, Displace)
    assert first.tell == (LEASES[0],)
    assert first.job.status.plan == job.status.plan
    assert "replaced by the run due at 2026-01-01T12:00" in (first.job.status.running[RUNS].cancel or "")
    assert isinstance(decide(hint, facts(first.job, leases={LEASES[0]: True})), HandBack)
    last = decide(hint, facts(first.job, leases={LEASES[0]: False}))
    assert isinstance(last, Claim), "the run of one that died does not block"


@pytest.mark.parametrize(
    ("overlap", "due", "woken"),
    [
        ("queue", NOON, True),
        ("replace", NOON, True),
        ("skip", NOON, False),
        ("allow", NOON, False),
        ("queue", NOON + timedelta(seconds=5), False),
    ],
)
def test_an_end_wakes_what_waited_for_it_and_nothing_else(overlap: str, due: object, woken: bool) -> None:
    job = make_job(n=8, due=due, overlap=overlap, schedule=Interval(seconds=60))  # type: ignore[arg-type]
    before = replace(job, status=replace(job.status, running={RUNS: ENTRY}))
    found = list(freed(before, job, 41, NOON))
    assert [hint.key for hint in found] == (["BILLING_DAILY-8"] if woken else [])
    assert list(freed(job, job, 41, NOON)) == []


@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_an_end_wakes_what_is_made_up_for_when_nothing_of_the_run_before_it_is_left(overlap: str) -> None:
    job = make_job(n=8, due=NOON, overlap=overlap, schedule=Interval(seconds=60), catch_up="all")
    before = replace(job, status=replace(job.status, running={RUNS: ENTRY}))
    assert [hint.key for hint in freed(before, job, 41, NOON)] == ["BILLING_DAILY-8"]
    again = replace(job, status=replace(job.status, retries={RUNS: Retrying(attempt=2, at=NOON, due=NOON)}))
    assert list(freed(before, again, 41, NOON)) == []


def test_an_end_wakes_runs_by_hand_and_retries_that_were_waiting_before_but_none_that_it_plans_itself() -> None:
    before = busy()
    status = before.status
    later = ExecutionId("BILLING_DAILY-5")
    retries = {**status.retries, RUNS: Retrying(attempt=2, at=NOON, due=NOON)}
    retries[later] = Retrying(attempt=2, at=NOON + timedelta(hours=1), due=NOON)
    before = replace(before, status=replace(status, retries={key: retries[key] for key in (AGAIN, later)}))
    after = replace(before, status=replace(before.status, running={}, retries=retries))
    assert {hint.key for hint in freed(before, after, 41, NOON)} == {f"{WAITS}.1", f"{AGAIN}.3"}
