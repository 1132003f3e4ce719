"""Where a run takes place, as a table of who claims what for whom."""

from dataclasses import replace
from typing import Any

import pytest

from natsched.core.deciding import decide
from natsched.core.decisions import AskReplicas, Claim, HandBack, Settle
from natsched.core.executions import ExecutionStatus
from natsched.core.facts import Facts
from natsched.core.ids import base_of
from natsched.core.jobs import MAX_RUNNING, ExecutionId, Job, LeaseId, Retrying, Running, Stored
from natsched.core.specs import make_spec
from natsched.errors import InvalidJob
from tests.core.strategies import HERE, LEASES
from tests.factories import HOURLY, NOON, make_job, make_plan_hint, make_run_hint

PLANNED = ExecutionId("BILLING_DAILY-1")
EVERYONE = frozenset({HERE, *LEASES})


def facts(job: Job, **known: Any) -> Facts:
    given = {"now": NOON, "stored": Stored(id=job.id, job=job, revision=40), "lease": HERE, "authoritative": True}
    return Facts(**{**given, **known})


def test_a_plain_job_is_claimed_for_this_replica_and_nobody_is_asked() -> None:
    decision = decide(make_plan_hint(), facts(make_job()))
    assert isinstance(decision, Claim)
    assert decision.running.lease == HERE
    assert decision.tell == ()


@pytest.mark.parametrize("spec", [{"scope": "all"}, {"primary_only": True}])
def test_who_serves_the_queue_is_asked_first(spec: dict[str, Any]) -> None:
    assert decide(make_plan_hint(), facts(make_job(queue="mail", **spec))) == AskReplicas(queue="mail")


def test_all_have_a_part_of_their_own_and_the_others_are_told() -> None:
    decision = decide(make_plan_hint(), facts(make_job(scope="all"), replicas=EVERYONE))
    assert isinstance(decision, Claim)
    running = decision.job.status.running
    assert {entry.lease for entry in running.values()} == EVERYONE
    assert set(decision.tell) == set(LEASES)
    assert len(running) == 4
    assert {base_of(part) for part in running} == {PLANNED}
    assert [entry.assigned for entry in running.values()] == [False, True, True, True]
    assert running[decision.execution].lease == HERE
    assert decision.job.status.runs == 1


def test_more_replicas_than_may_run_at_once_hand_it_back() -> None:
    many = frozenset(LeaseId(f"lease.{number}.1") for number in range(MAX_RUNNING + 1))
    assert isinstance(decide(make_plan_hint(), facts(make_job(scope="all"), replicas=many)), HandBack)


@pytest.mark.parametrize(
    ("primary", "replicas", "expected"),
    [
        (HERE, EVERYONE, Claim),
        (LEASES[0], EVERYONE, Settle),
        (None, EVERYONE, HandBack),
        (LEASES[0], frozenset({HERE}), HandBack),
    ],
)
def test_the_primary_runs_it_whoever_claims(
    primary: LeaseId | None, replicas: frozenset[LeaseId], expected: type
) -> None:
    decision = decide(make_plan_hint(), facts(make_job(primary_only=True), replicas=replicas, primary=primary))
    assert isinstance(decision, expected)
    if isinstance(decision, Settle):
        assert decision.tell == (LEASES[0],)
        entry = decision.job.status.running[PLANNED]
        assert (entry.lease, entry.assigned, entry.attempt) == (LEASES[0], True, 1)


def test_what_the_former_primary_ran_is_taken_over_for_the_new_one() -> None:
    job = make_job(primary_only=True, n=2)
    entry = Running(token=3, due=NOON, lease=LEASES[0], assigned=True)
    job = replace(job, status=replace(job.status, running={PLANNED: entry}))
    known = {"leases": {LEASES[0]: False}, "record_known": True, "replicas": EVERYONE, "primary": LEASES[1]}
    decision = decide(make_run_hint(execution=PLANNED, attempt=2), facts(job, **known))
    assert isinstance(decision, Settle)
    taken = decision.job.status.running[PLANNED]
    assert (taken.lease, taken.attempt, taken.takeovers, taken.assigned) == (LEASES[1], 2, 1, True)


def test_a_part_of_a_replica_that_is_gone_is_lost_and_nobody_elses() -> None:
    job = make_job(scope="all", n=2)
    entry = Running(token=3, due=NOON, lease=LEASES[0], assigned=True)
    job = replace(job, status=replace(job.status, running={PLANNED: entry}))
    decision = decide(
        make_run_hint(execution=PLANNED, attempt=2), facts(job, leases={LEASES[0]: False}, record_known=True)
    )
    assert isinstance(decision, Settle)
    assert [record.status for record in decision.records] == [ExecutionStatus.LOST]
    assert decision.job.status.running == {}


@pytest.mark.parametrize(
    ("lease", "alive", "status"), [(HERE, True, None), (LEASES[0], True, None), (LEASES[0], False, "lost")]
)
def test_a_part_is_tried_again_by_its_own_replica(lease: LeaseId, alive: bool, status: str | None) -> None:
    job = make_job(scope="all", n=2)
    part = ExecutionId(f"{PLANNED}-2")
    others = {PLANNED: Running(token=3, due=NOON, lease=LEASES[1])}
    again = Retrying(attempt=2, at=NOON, due=NOON, lease=lease)
    job = replace(job, status=replace(job.status, running=others, retries={part: again}))
    decision = decide(make_run_hint(execution=part, attempt=2), facts(job, leases={LEASES[0]: alive}))
    if status is not None:
        assert isinstance(decision, Settle)
        assert decision.reason == status
        assert part not in {*decision.job.status.running, *decision.job.status.retries}
    else:
        assert isinstance(decision, Claim if lease == HERE else Settle)
        entry = decision.job.status.running[part]
        assert (entry.lease, entry.attempt) == (lease, 2)
        assert set(decision.job.status.running) == {PLANNED, part}, "the other parts do not hold it up"


@pytest.mark.parametrize(("overlap", "waits"), [("skip", True), ("queue", True), ("allow", False)])
def test_a_part_that_is_tried_again_waits_for_another_execution(overlap: str, waits: bool) -> None:
    job = make_job(scope="all", n=2, overlap=overlap)
    later = {ExecutionId("BILLING_DAILY-2"): Running(token=3, due=NOON, lease=LEASES[1])}
    again = Retrying(attempt=2, at=NOON, due=NOON, lease=HERE)
    job = replace(job, status=replace(job.status, running=later, retries={PLANNED: again}))
    decision = decide(make_run_hint(execution=PLANNED, attempt=2), facts(job, leases={LEASES[1]: True}))
    assert isinstance(decision, HandBack if waits else Claim)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"scope": "all", "primary_only": True}, "scope"),
        ({"scope": "all", "max_concurrency": 3}, "max_concurrency"),
        ({"scope": "all", "concurrency_key": "db"}, "concurrency_key"),
        ({"primary_only": True, "concurrency_key": "db"}, "concurrency_key"),
        ({"concurrency_key": "no key"}, "concurrency_key"),
        ({"scope": "some"}, "scope"),
        ({"priority": "urgent"}, "priority"),
    ],
)
def test_what_contradicts_itself_is_refused_with_its_field(options: Any, field: str) -> None:
    with pytest.raises(InvalidJob) as raised:
        make_spec(HOURLY, anchor=NOON, **options)
    assert raised.value.field == field
