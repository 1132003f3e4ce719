"""Deadlines: what an attempt is given, and what follows when none is left."""

from dataclasses import replace
from datetime import timedelta

import pytest

from natsched.core.backoff import RetryPolicy
from natsched.core.deadlines import allowance, deadline_of, too_late
from natsched.core.deciding import decide
from natsched.core.decisions import Claim, Settle
from natsched.core.documents import encode_job
from natsched.core.endings import finish
from natsched.core.executions import ExecutionStatus
from natsched.core.facts import Facts
from natsched.core.jobs import ExecutionId, Running, Stored
from natsched.core.retries import Failure, judged
from tests.core.strategies import HERE
from tests.factories import NOON, make_job, make_plan_hint, make_spec

SECOND = timedelta(seconds=1)
FIRST = ExecutionId("BILLING_DAILY-1")


@pytest.mark.parametrize(
    ("timeout", "deadline", "seconds", "is_cut"),
    [
        (None, None, None, False),
        (5.0, None, 5.0, False),
        (None, 8.0, 8.0, True),
        (5.0, 8.0, 5.0, False),
        (9.0, 8.0, 8.0, True),
        (9.0, -1.0, 0.0, True),
    ],
)
def test_an_attempt_is_given_the_smaller_of_both(
    timeout: float | None, deadline: float | None, seconds: float | None, is_cut: bool
) -> None:
    entry = Running(token=1, due=NOON, deadline=None if deadline is None else NOON + deadline * SECOND)
    allowed = allowance(make_spec(timeout=timeout), entry, NOON)
    assert (allowed.seconds, allowed.is_cut) == (seconds, is_cut)
    if seconds is None:
        assert allowed.until is None
    else:
        assert allowed.until == (entry.deadline if is_cut else NOON + seconds * SECOND)


def test_a_claim_fixes_the_deadline_and_a_retry_carries_it_on() -> None:
    job = make_job(deadline=90.0, retry=RetryPolicy(base=30.0, jitter=0.0, backoff="fixed"))
    assert deadline_of(job.spec, NOON) == NOON + 90 * SECOND
    stored = Stored(id=job.id, job=job, revision=7)
    claim = decide(make_plan_hint(), Facts(now=NOON, stored=stored, lease=HERE, authoritative=True))
    assert isinstance(claim, Claim)
    assert claim.running.deadline == NOON + 90 * SECOND
    failed = replace(too_late(NOON + 59 * SECOND), status=ExecutionStatus.FAILED)
    again = judged(job, FIRST, claim.running, failed, Failure())
    assert again.retry_at == NOON + 89 * SECOND
    assert finish(claim.job, FIRST, again).status.retries[FIRST].deadline == NOON + 90 * SECOND
    over = judged(job, FIRST, claim.running, replace(failed, ended_at=NOON + 60 * SECOND), Failure())
    assert (over.status, over.reason) == (ExecutionStatus.DEAD, "its deadline would have passed")


def test_a_plan_whose_deadline_has_passed_does_not_run() -> None:
    job = make_job(deadline=90.0)
    stored = Stored(id=job.id, job=job, revision=7)
    decision = decide(make_plan_hint(), Facts(now=NOON + 90 * SECOND, stored=stored, lease=HERE, authoritative=True))
    assert isinstance(decision, Settle)
    assert decision.reason == "expired"
    assert decision.job.status.counts == {ExecutionStatus.EXPIRED: 1}
    assert decision.job.status.plan.due == NOON + 3600 * SECOND
    (record,) = decision.records
    assert (record.status, record.attempt, record.due) == (ExecutionStatus.EXPIRED, 0, NOON)


def test_a_document_that_uses_none_of_it_is_as_it_was() -> None:
    text = encode_job(make_job()).decode()
    for name in ("deadline", "catch_up_window", "paused_since"):
        assert name not in text
