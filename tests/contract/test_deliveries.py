"""`ports.HintStream`: hints among the deliveries."""

import pytest

from natsched.core.hints import Hint
from natsched.ports import Backend
from tests.contract.servers import Server
from tests.contract.waiting import PAST, collect, receive_one, soon, until_none_is_delivered
from tests.factories import make_plan_hint, make_run_hint

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("hint", [make_plan_hint("a.b", queue="mail"), make_run_hint("a.b", queue="mail")])
async def test_a_hint_is_delivered_at_once_and_as_it_is(backend: Backend, hint: Hint) -> None:
    await backend.hints.deliver(hint)
    async with backend.intake("mail") as intake:
        intake.want(1)
        assert (await receive_one(intake)).hint == hint


async def test_a_hint_of_the_same_key_is_not_doubled(backend: Backend) -> None:
    await backend.hints.deliver(make_plan_hint("a", 1))
    await backend.hints.deliver(make_plan_hint("a", 1, revision=9))
    await backend.hints.deliver(make_plan_hint("a", 2))
    async with backend.intake("default") as intake:
        intake.want(10)
        first, second = await collect(intake, 2)
    assert [first.hint, second.hint] == [make_plan_hint("a", 1), make_plan_hint("a", 2)]


async def test_a_hint_is_delivered_again_under_another_name_once(backend: Backend) -> None:
    hint = make_plan_hint("a", 1)
    async with backend.intake("default") as intake:
        intake.want(10)
        await backend.hints.deliver(hint)
        await backend.hints.deliver(hint, once="again")
        await backend.hints.deliver(hint, once="again")
        found = await collect(intake, 2)
        assert [delivery.hint for delivery in found] == [hint, hint]


async def test_a_hint_of_the_same_key_is_not_doubled_after_its_acknowledgement(backend: Backend) -> None:
    async with backend.intake("default") as intake:
        intake.want(10)
        await backend.hints.deliver(make_run_hint("a", attempt=1))
        (await receive_one(intake)).ack()
        await until_none_is_delivered(backend)
        await backend.hints.deliver(make_run_hint("a", attempt=1))
        await backend.hints.deliver(make_run_hint("a", attempt=2))
        assert (await receive_one(intake)).hint == make_run_hint("a", attempt=2)


async def test_a_schedule_fires_though_its_hint_was_delivered_within_the_window(backend: Backend) -> None:
    hint = make_plan_hint("a")
    async with backend.intake("default") as intake:
        intake.want(10)
        await backend.hints.deliver(hint)
        (await receive_one(intake)).ack()
        await until_none_is_delivered(backend)
        await backend.hints.schedule(hint, PAST, expected=0)
        assert (await receive_one(intake)).hint == hint


async def test_deliveries_of_all_queues_are_listed_until_they_are_acknowledged(backend: Backend) -> None:
    hints: list[Hint] = [make_plan_hint("a"), make_run_hint("b", queue="mail")]
    for hint in hints:
        await backend.hints.deliver(hint)
    await backend.hints.schedule(make_plan_hint("later"), soon(await backend.server_time(), 3600), expected=0)
    listed = {pending.hint: pending for pending in await backend.hints.deliveries()}
    assert set(listed) == set(hints)
    async with backend.intake("mail") as intake:
        intake.want(1)
        delivery = await receive_one(intake)
        assert delivery.seq == listed[hints[1]].seq
        assert {pending.hint for pending in await backend.hints.deliveries()} == set(hints)
        delivery.ack()
        async with backend.intake("default") as other:
            other.want(1)
            (await receive_one(other)).ack()
        await until_none_is_delivered(backend)


async def test_one_job_may_have_several_deliveries(backend: Backend) -> None:
    hints: list[Hint] = [make_plan_hint("a", 1), make_plan_hint("a", 2), make_run_hint("a")]
    for hint in hints:
        await backend.hints.deliver(hint)
    async with backend.intake("default") as intake:
        intake.want(10)
        deliveries = await collect(intake, 3)
    assert {delivery.hint for delivery in deliveries} == set(hints)


async def test_a_deleted_delivery_is_handed_to_nobody(backend: Backend) -> None:
    await backend.hints.deliver(make_plan_hint("a", 1))
    (pending,) = await backend.hints.deliveries()
    await backend.hints.delete(pending.seq)
    await backend.hints.deliver(make_plan_hint("a", 2))
    async with backend.intake("default") as intake:
        intake.want(10)
        assert (await receive_one(intake)).hint == make_plan_hint("a", 2)


async def test_a_delivery_that_cannot_be_read_is_listed_without_a_hint(server: Server) -> None:
    await server.put_delivery("a.b", b"\xff not a hint")
    (pending,) = await server.backend.hints.deliveries()
    assert (pending.job, pending.hint) == ("a.b", None)
