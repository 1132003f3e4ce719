"""Subjects there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.hints import PlanHint
from natsched.core.ids import job_id, token
from natsched.core.jobs import ExecutionId
from natsched.jetstream.naming import Address, Names
from tests.factories import make_plan_hint, make_run_hint

tokens = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
jobs = st.lists(tokens, min_size=1, max_size=5).map(".".join)
names = st.lists(tokens, min_size=1, max_size=3).map(lambda parts: Names(prefix=".".join(parts)))


@given(names, jobs, tokens, tokens)
def test_every_subject_is_read_as_it_was_made(names: Names, job: str, queue: str, execution: str) -> None:
    job_id(job)
    token(queue, field="queue")
    plan = make_plan_hint(job, queue=queue)
    run = make_run_hint(job, execution, queue=queue)
    on_schedule = Address(kind="schedule", job=plan.job)
    on_retry = Address(kind="retry", job=run.job, execution=run.execution)
    assert names.address(names.scheduled(plan)) == names.address(names.schedule(plan.job)) == on_schedule
    assert names.address(names.scheduled(run)) == names.address(names.retry(run.job, run.execution)) == on_retry
    assert names.address(names.delivery(plan)) == Address(kind="plan", job=plan.job, queue=queue)
    assert names.address(names.delivery(run)) == Address(
        kind="run", job=run.job, queue=queue, execution=ExecutionId(execution)
    )


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "scheduler",
        "scheduler.",
        "scheduler.schedule",
        "scheduler.schedule.",
        "scheduler.retry.job",
        "scheduler.delivery.default",
        "scheduler.delivery.default.plan",
        "scheduler.delivery.default.run.only",
        "scheduler.delivery.default.other.job",
        "schedulers.schedule.job",
        "other.schedule.job",
    ],
)
def test_a_subject_of_somebody_else_has_no_address(subject: str) -> None:
    assert Names().address(subject) is None


def test_the_default_queue_has_the_plain_consumer() -> None:
    assert Names().consumer_of("default") == "scheduler-worker"
    assert Names().consumer_of("mail") == "scheduler-worker-mail"


def test_a_delivery_lies_within_the_subjects_of_its_queue() -> None:
    hint: PlanHint = make_plan_hint("a.b", queue="mail")
    assert Names().delivery(hint).startswith(Names().deliveries_of("mail").removesuffix(">"))
    assert not Names().delivery(hint).startswith(Names().deliveries_of("mai").removesuffix(">"))


def test_with_a_domain_keys_are_written_by_way_of_the_api_and_stored_as_ever() -> None:
    names = Names(domain="hub")
    assert names.key("B", "a.b") == "$KV.B.a.b"
    assert names.key_to_publish("B", "a.b") == "$JS.hub.API.$KV.B.a.b"
    assert Names().key_to_publish("B", "a.b") == "$KV.B.a.b"


@given(names, jobs, tokens, tokens)
def test_own_subjects_are_known_and_those_that_stop_workers_are_not_in_the_stream(
    names: Names, job: str, queue: str, execution: str
) -> None:
    assert names.is_own(names.delivery(make_plan_hint(job, queue=queue)))
    assert names.is_own(names.retry(make_plan_hint(job).job, ExecutionId(execution)))
    cancel = names.cancel(execution, 2)
    assert names.is_own(cancel)
    assert not cancel.startswith(f"{names.prefix}.")
    assert not names.is_own(f"{names.prefix}s.{job}")
