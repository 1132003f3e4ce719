"""Jobs that run after others: which ends start a run, in which order jobs are created, what an end owes."""

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.chains import ENDINGS, After, Ending, chained, in_order
from natsched.core.changes import create, followed, passed_on, trigger
from natsched.core.deciding import decide
from natsched.core.decisions import Drop, PassOn
from natsched.core.documents import decode_job, encode_job
from natsched.core.endings import Outcome, finish
from natsched.core.executions import FINAL, Cause, ExecutionStatus
from natsched.core.facts import Facts
from natsched.core.hints import decode_hint, encode_hint
from natsched.core.jobs import ExecutionId, Job, JobId, Plan, Running, Status, Stored
from natsched.core.owed import owed
from natsched.core.schedules import describe, next_due
from natsched.errors import ScheduleError
from tests.core.strategies import HERE
from tests.factories import NOON, make_job, make_plan_hint, make_spec

S = ExecutionStatus
FIRST = ExecutionId("BILLING_DAILY-1")
FOLLOWER = JobId("report")
ids = st.sampled_from("abcdefgh")


def followed_job() -> Job:
    status = Status(plan=Plan(n=2, due=NOON), running={FIRST: Running(token=3, due=NOON, lease=HERE)})
    job = followed(make_job(status=status), FOLLOWER)
    assert job is not None
    return job


def ended(status: ExecutionStatus = S.OK) -> Job:
    outcome = Outcome(status=status, started_at=NOON, ended_at=NOON)
    return finish(followed_job(), FIRST, outcome)


def test_every_end_of_an_execution_is_success_or_failure_or_neither() -> None:
    assert {S.OK} == ENDINGS["success"]
    assert {S.FAILED, S.TIMED_OUT, S.LOST, S.DEAD} == ENDINGS["failure"]
    assert ENDINGS["any"] == ENDINGS["success"] | ENDINGS["failure"] | {S.CANCELLED}
    assert ENDINGS["any"] <= FINAL
    assert set(ENDINGS) == set(get_args(Ending))


def test_a_job_that_runs_after_others_has_no_instants_and_is_never_complete() -> None:
    schedule = After("a", "b", on="any")
    assert next_due(schedule, NOON, anchor=NOON, salt="x") is None
    job = create(FOLLOWER, "U", make_spec(schedule=schedule), NOON)
    assert job.state(NOON) == "active"
    assert trigger(job, FIRST, None, NOON).state(NOON) == "active"
    assert decode_job(encode_job(job), key=FOLLOWER) == job
    assert describe(schedule) == "after a, b (any)"
    assert describe(After("a")) == "after a"
    assert describe(After()) == "by hand"


@pytest.mark.parametrize(
    ("jobs", "on", "reason"),
    [
        (("a", "a"), "success", "named twice"),
        (("a",), "sometimes", "on: 'sometimes' is none of"),
        ((3,), "any", "text"),
    ],
)
def test_what_can_never_be_is_refused(jobs: tuple[str, ...], on: Ending, reason: str) -> None:
    with pytest.raises(ScheduleError, match=reason):
        After(*jobs, on=on)


@given(st.dictionaries(ids, st.lists(ids, max_size=3, unique=True), max_size=8))
def test_each_job_comes_behind_those_that_it_runs_after_or_there_is_a_circle(before: dict[str, list[str]]) -> None:
    jobs = {job: job for job in before}
    try:
        order = in_order(jobs, before)
    except ScheduleError as error:
        path = str(error).partition("circle, ")[2].split(" -> ")
        assert path[0] == path[-1]
        assert all(second in before[first] or first in before[second] for first, second in pairwise(path))
        return
    assert sorted(order) == sorted(jobs)
    for job in jobs:
        for other in before[job]:
            assert other not in jobs or order.index(other) < order.index(job)


def test_an_end_is_kept_for_those_that_follow_until_it_was_passed_on() -> None:
    job = ended()
    assert job.status.handovers == {
        FIRST: Cause(job=job.id, execution=FIRST, attempt=1, status=S.OK, at=NOON),
    }
    (hint,) = owed(followed_job(), job, 9)
    assert decode_hint(encode_hint(hint), job=job.id) == hint
    facts = Facts(now=NOON, stored=Stored(id=job.id, job=job, revision=9), lease=HERE, mine={FIRST})
    assert decide(hint, facts) == PassOn(job=job, execution=FIRST, patient=True), (
        "also while its replica is still at its last writes"
    )
    assert isinstance(decide(make_plan_hint(n=1), replace_mine(facts)), PassOn), "the delivery that it was run by"
    passed = passed_on(job, FIRST, ())
    assert passed.status.handovers == {}
    facts = Facts(now=NOON, stored=Stored(id=job.id, job=passed, revision=10), lease=HERE)
    assert isinstance(decide(hint, facts), Drop)
    assert passed_on(job, FIRST, [FOLLOWER]).status.followers == ()


def replace_mine(facts: Facts) -> Facts:
    return replace(facts, mine=frozenset())


def test_what_is_tried_again_is_no_end_and_a_job_that_nobody_follows_keeps_none() -> None:
    outcome = Outcome(status=S.RETRYING, started_at=NOON, ended_at=NOON, retry_at=NOON)
    assert finish(followed_job(), FIRST, outcome).status.handovers == {}
    job = replace(followed_job(), status=replace(followed_job().status, followers=()))
    assert finish(job, FIRST, Outcome(status=S.OK, started_at=NOON, ended_at=NOON)).status.handovers == {}


def test_the_run_after_an_end_has_one_name_and_another_end_another() -> None:
    cause = Cause(job="a", execution="U-1", attempt=1, status=S.DEAD, at=NOON)
    names = {
        chained("F", cause),
        chained("F", replace(cause, attempt=2, status=S.OK)),
        chained("F", replace(cause, execution="U-2")),
        chained("G", cause),
    }
    assert len(names) == 4
    assert chained("F", replace(cause, status=S.OK)) in names
