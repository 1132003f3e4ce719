"""What the reconciler finds in a document and its messages, and what it does about it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.hints import Hint, Pending, PlanHint, RunHint
from natsched.core.jobs import ExecutionId, Job, LeaseId, Manual, Plan, Running, Status, Stored, Unreadable
from natsched.core.owed import manual_hint, takeover_hint
from natsched.core.planning import plan_hint, start_of
from natsched.core.schedules import Interval
from natsched.core.sweeping import (
    Delete,
    Rehint,
    Repair,
    Sight,
    abandoned,
    inspect,
    inspect_schedule,
    overdue,
)
from tests.core.strategies import JOB, LEASES, jobs, times
from tests.factories import NOON, make_job, make_plan_hint, make_run_hint

GRACE = timedelta(seconds=30)
HOUR = timedelta(hours=1)
FIRST = ExecutionId("BILLING_DAILY-1")
BY_HAND = ExecutionId("BILLING_DAILY-m1")


def sight(now: datetime = NOON, live: Iterable[LeaseId] = ()) -> Sight:
    return Sight(now=now, grace=GRACE, live=frozenset(live))


def stored(job: Job | Unreadable | None, revision: int = 7) -> Stored:
    return Stored(id=JOB, job=job, revision=revision)


def pending(hint: Hint | None, at: datetime | None = NOON + HOUR, seq: int = 70) -> Pending:
    return Pending(seq=seq, subject="", job=JOB, hint=hint, at=at)


def repairs(job: Job | Unreadable | None, scheduled: Pending | None, **look: Any) -> list[Repair]:
    return list(inspect(stored(job), scheduled, sight(**look)))


# Properties


@given(jobs(), st.data())
def test_a_document_whose_messages_are_there_needs_nothing(job: Job, data: st.DataObject) -> None:
    now = data.draw(times(job))
    job = replace(job, status=replace(job.status, manual={}))
    hint = plan_hint(job, 5)
    scheduled = None if hint is None else pending(hint, at=max(now, hint.start))
    live = {entry.lease or LEASES[0] for entry in job.status.running.values()}
    running = {key: replace(entry, lease=entry.lease or LEASES[0]) for key, entry in job.status.running.items()}
    job = replace(job, status=replace(job.status, running=running))
    assert list(inspect(stored(job), scheduled, sight(now, live))) == []


@given(jobs(), st.data(), st.sets(st.sampled_from(LEASES)))
def test_all_that_a_document_owes_a_hint_is_hinted_again(job: Job, data: st.DataObject, live: set[LeaseId]) -> None:
    now = data.draw(times(job))
    found = list(inspect(stored(job), None, sight(now, live)))
    assert all(isinstance(repair, Rehint) and repair.hint.revision == 7 for repair in found)
    hints = [repair.hint for repair in found if isinstance(repair, Rehint)]
    plans = {hint.n for hint in hints if isinstance(hint, PlanHint)}
    assert plans == ({job.status.plan.n} if job.status.plan.due else set())
    runs = {hint.execution for hint in hints if isinstance(hint, RunHint)}
    gone = {
        execution
        for execution, entry in job.status.running.items()
        if entry.lease not in live and (entry.manual or job.spec.is_active(now))
    }
    assert runs == gone | set(job.status.manual)
    assert len(hints) == len(plans) + len(runs)
    assert {hint.queue for hint in hints} <= {job.spec.queue}


@given(jobs(), st.data(), st.integers(1, 14), st.integers(-2, 2))
def test_a_schedule_of_a_newer_document_is_never_touched(
    job: Job, data: st.DataObject, revision: int, shift: int
) -> None:
    """What was read may be old; what lies there by a later write is right."""
    now = data.draw(times(job))
    planned = plan_hint(job, 7)
    start = NOON if planned is None else planned.start
    hint = make_plan_hint(uid=job.uid, n=max(0, job.status.plan.n + shift), revision=revision, start=start)
    found = list(inspect(stored(job), pending(hint, at=max(now, start)), sight(now)))
    of_the_plan = [
        repair for repair in found if not (isinstance(repair, Rehint) and isinstance(repair.hint, RunHint))
    ]
    is_the_plans = hint.n == job.status.plan.n and job.status.plan.due is not None
    assert bool(of_the_plan) == (not is_the_plans and revision < 7)


@given(jobs(due=True).filter(lambda job: plan_hint(job, 7) is not None), st.data(), st.sampled_from(("at", "start")))
def test_a_schedule_that_would_tell_of_the_plan_too_late_is_replaced(
    job: Job, data: st.DataObject, which: str
) -> None:
    """Others may have written it: no natsched waits longer than until the start."""
    now, hint = data.draw(times(job)), plan_hint(job, 7)
    assert hint is not None
    late = max(now, hint.start) + HOUR
    wrong = pending(replace(hint, start=late) if which == "start" else hint, at=late if which == "at" else now)
    for scheduled in (wrong, pending(hint, at=None)):
        found = list(inspect(stored(job), scheduled, sight(now)))
        assert found[:2] == [
            Delete(seq=70, reason="schedule of another instant"),
            Rehint(hint=hint, reason="schedule of another instant"),
        ]


# Named cases


def test_a_plan_without_a_message_is_hinted_again_at_once_only_if_it_is_overdue_for_long() -> None:
    hint = make_plan_hint(revision=7)
    assert repairs(make_job(), None) == [Rehint(hint=hint, reason="plan without a message", suspect=True)]
    assert repairs(make_job(), None, now=NOON + GRACE) == [
        Rehint(hint=hint, reason="plan without a message", suspect=True)
    ]
    late = NOON + GRACE + timedelta(seconds=1)
    assert repairs(make_job(), None, now=late) == [Rehint(hint=hint, reason="plan without a message")]


def test_a_schedule_that_the_server_did_not_fire_is_put_there_again() -> None:
    scheduled = pending(make_plan_hint(revision=3), at=NOON)
    assert repairs(make_job(), scheduled, now=NOON + GRACE) == []
    assert repairs(make_job(), scheduled, now=NOON + 2 * GRACE) == [
        Delete(seq=70, reason="schedule stuck in the server"),
        Rehint(hint=make_plan_hint(revision=7), reason="schedule stuck in the server"),
    ]


@pytest.mark.parametrize(
    "old", [make_plan_hint(n=0, revision=3), make_plan_hint(uid="BEFORE", revision=3), None], ids=repr
)
def test_a_schedule_of_an_old_plan_is_replaced(old: Hint | None) -> None:
    assert repairs(make_job(), pending(old)) == [
        Delete(seq=70, reason="schedule of an old plan"),
        Rehint(hint=make_plan_hint(revision=7), reason="schedule of an old plan"),
    ]
    assert repairs(make_job(due=None), pending(old)) == [Delete(seq=70, reason="schedule of an old plan")]


def test_a_run_asked_for_by_hand_without_a_message_is_hinted_again() -> None:
    job = make_job(status=Status(plan=Plan(n=1), manual={BY_HAND: Manual(at=NOON)}), active=False)
    hint = make_run_hint(execution=BY_HAND, revision=7)
    assert manual_hint(job, BY_HAND, 7) == hint
    assert repairs(job, None) == [Rehint(hint=hint, reason="asked for by hand, but no message of it", suspect=True)]


@pytest.mark.parametrize(("lease", "gone"), [(LEASES[0], False), (LEASES[1], True), (None, True)])
def test_a_run_whose_replica_is_gone_is_to_be_taken_over(lease: LeaseId | None, gone: bool) -> None:
    entry = Running(token=3, due=NOON, lease=lease, attempt=2)
    job = make_job(status=Status(plan=Plan(n=2), running={FIRST: entry}))
    found = list(abandoned(stored(job), sight(live=LEASES[:1])))
    hint = make_run_hint(attempt=3, revision=7)
    assert found == ([Rehint(hint=hint, reason="its replica is gone", suspect=True)] if gone else [])


def test_a_paused_jobs_runs_are_left_until_it_goes_on_but_for_those_asked_for_by_hand() -> None:
    entry = Running(token=3, due=NOON, lease=LEASES[0])
    running = {FIRST: entry, BY_HAND: replace(entry, manual=True)}
    job = make_job(status=Status(plan=Plan(n=2), running=running), active=False)
    assert [
        repair.hint.execution for repair in abandoned(stored(job), sight()) if isinstance(repair.hint, RunHint)
    ] == [BY_HAND]
    until = replace(job, spec=replace(job.spec, paused_until=NOON))
    assert len(list(abandoned(stored(until), sight()))) == 2


def test_a_takeover_keeps_the_start_of_its_run() -> None:
    entry = Running(token=3, due=NOON, lease=LEASES[0])
    job = make_job(schedule=Interval(HOUR, jitter=HOUR))
    assert takeover_hint(job, FIRST, entry, 7).start == start_of(job, NOON) > NOON
    assert takeover_hint(job, BY_HAND, replace(entry, manual=True), 7).start == NOON


@pytest.mark.parametrize("document", [None, Unreadable(reason="v: 2")])
def test_where_there_is_no_document_to_read_nothing_is_repaired(document: Unreadable | None) -> None:
    assert repairs(document, None) == []
    assert repairs(document, pending(make_plan_hint())) == []
    assert overdue(stored(document), NOON) is None


def test_a_plan_is_overdue_from_its_start_on() -> None:
    jittered = make_job(schedule=Interval(HOUR, jitter=HOUR))
    start = start_of(jittered, NOON)
    assert overdue(stored(jittered), start - timedelta(microseconds=1)) is None
    assert overdue(stored(jittered), start) == plan_hint(jittered, 7)
    assert overdue(stored(make_job(due=None)), NOON) is None


@pytest.mark.parametrize("hint", [make_plan_hint(), make_run_hint(), None], ids=repr)
def test_a_schedule_without_a_job_is_deleted_by_its_sequence(hint: Hint | None) -> None:
    assert inspect_schedule(pending(hint), stored(None)) == Delete(seq=70, reason="schedule without a job")
    assert inspect_schedule(pending(hint), stored(Unreadable(reason="v: 2"))) is None


@pytest.mark.parametrize(
    ("hint", "stray"),
    [
        (make_run_hint(execution=FIRST, revision=3), False),
        (make_run_hint(execution=BY_HAND, revision=3), False),
        (make_run_hint(execution="BILLING_DAILY-0", revision=3), True),
        (make_run_hint(execution="BILLING_DAILY-0", revision=7), False),
        (make_run_hint(execution=FIRST, uid="BEFORE", revision=3), True),
        (make_plan_hint(n=0, revision=3), False),
    ],
)
def test_a_schedule_of_an_execution_that_ended_is_deleted(hint: Hint, stray: bool) -> None:
    status = Status(plan=Plan(n=2), running={FIRST: Running(token=3, due=NOON)}, manual={BY_HAND: Manual(at=NOON)})
    found = inspect_schedule(pending(hint), stored(make_job(status=status)))
    assert found == (Delete(seq=70, reason="schedule of an execution that ended") if stray else None)
