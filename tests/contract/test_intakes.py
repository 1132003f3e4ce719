"""`ports.Intake` and `ports.Delivery`: what is due, handed to one replica at a time."""

from datetime import timedelta

import anyio
import pytest

from natsched.ports import Backend, Intake
from tests.contract.servers import ACK_WAIT, Server
from tests.contract.waiting import DEADLINE, collect, receive_one, until_none_is_delivered
from tests.factories import make_plan_hint

pytestmark = pytest.mark.anyio
EARLY = timedelta(milliseconds=50)
"""How far a server may round the time that it waits."""


async def deliver(backend: Backend, number: int, *, queue: str = "default") -> None:
    for n in range(number):
        await backend.hints.deliver(make_plan_hint("a", n, queue=queue))


async def test_receive_waits_for_a_delivery(backend: Backend) -> None:
    async with backend.intake("default") as intake, anyio.create_task_group() as tasks:
        intake.want(1)
        tasks.start_soon(deliver, backend, 1)
        assert (await receive_one(intake)).hint == make_plan_hint("a", 0)


async def test_what_was_there_before_the_intake_is_received(backend: Backend) -> None:
    await deliver(backend, 3)
    async with backend.intake("default") as intake:
        intake.want(10)
        assert [delivery.attempts for delivery in await collect(intake, 3)] == [1, 1, 1]


async def test_a_queue_gets_its_own_deliveries_alone(backend: Backend) -> None:
    await backend.hints.deliver(make_plan_hint("a", queue="mail-2"))
    await backend.hints.deliver(make_plan_hint("b", queue="mail"))
    await backend.hints.deliver(make_plan_hint("c"))
    async with backend.intake("mail") as mail, backend.intake("mail-2") as mail_2:
        mail.want(10)
        mail_2.want(10)
        assert (await receive_one(mail)).hint == make_plan_hint("b", queue="mail")
        assert (await receive_one(mail_2)).hint == make_plan_hint("a", queue="mail-2")


async def test_an_intake_gets_no_more_than_it_has_room_for(backend: Backend) -> None:
    async with backend.intake("default") as small, backend.intake("default") as large:
        small.want(2)
        await deliver(backend, 7)
        for delivery in await collect(small, 2):
            delivery.ack()
        large.want(10)
        assert len(await collect(large, 5)) == 5


async def test_room_said_twice_is_not_added_up(backend: Backend) -> None:
    async with backend.intake("default") as small, backend.intake("default") as large:
        small.want(2)
        small.want(2)
        await deliver(backend, 5)
        small.want(2)
        for delivery in await collect(small, 2):
            delivery.ack()
        large.want(10)
        assert len(await collect(large, 3)) == 3


async def test_an_intake_with_room_again_gets_more_though_it_has_not_answered(backend: Backend) -> None:
    await deliver(backend, 4)
    async with backend.intake("default") as intake:
        intake.want(2)
        first = await collect(intake, 2)
        intake.want(2)
        second = await collect(intake, 2)
    assert len({delivery.seq for delivery in first + second}) == 4


async def test_an_intake_that_wants_nothing_gets_nothing(backend: Backend) -> None:
    async with backend.intake("default") as idle, backend.intake("default") as busy:
        idle.want(0)
        busy.want(10)
        await deliver(backend, 3)
        assert len(await collect(busy, 3)) == 3


async def test_each_delivery_goes_to_exactly_one_of_two_intakes(backend: Backend) -> None:
    received: list[int] = []
    complete = anyio.Event()

    async def work(intake: Intake) -> None:
        while True:
            intake.want(3)
            for delivery in await intake.receive():
                received.append(delivery.seq)
                delivery.ack()
            if len(received) >= 200:
                complete.set()

    async with (
        backend.intake("default") as one,
        backend.intake("default") as two,
        anyio.create_task_group() as workers,
    ):
        workers.start_soon(work, one)
        workers.start_soon(work, two)
        await deliver(backend, 200)
        with anyio.fail_after(DEADLINE):
            await complete.wait()
        await until_none_is_delivered(backend)
        workers.cancel_scope.cancel()
    assert len(received) == len(set(received)) == 200


async def test_what_is_acknowledged_does_not_come_again(backend: Backend) -> None:
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 2)
        acknowledged, silent = await collect(intake, 2)
        acknowledged.ack()
        again = await receive_one(intake)
        assert (again.seq, again.attempts) == (silent.seq, 2)


async def test_what_stays_unanswered_comes_again_after_ack_wait(backend: Backend) -> None:
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 1)
        first = await receive_one(intake)
        received_at = await backend.server_time()
        second = await receive_one(intake)
        assert (second.seq, second.hint, second.attempts) == (first.seq, first.hint, 2)
        assert await backend.server_time() - received_at >= ACK_WAIT - EARLY
        third = await receive_one(intake)
        assert (third.seq, third.attempts) == (first.seq, 3)


async def test_an_answer_counts_though_it_was_handed_out_again(backend: Backend) -> None:
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 1)
        first = await receive_one(intake)
        second = await receive_one(intake)
        first.nak()
        third = await receive_one(intake)
        assert [delivery.attempts for delivery in (first, second, third)] == [1, 2, 3]
        first.ack()
        await until_none_is_delivered(backend)


async def test_after_an_acknowledgement_no_other_answer_counts(backend: Backend) -> None:
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 1)
        first = await receive_one(intake)
        first.ack()
        first.nak()
        first.in_progress()
        await until_none_is_delivered(backend)
        await backend.hints.deliver(make_plan_hint("b"))
        assert (await receive_one(intake)).hint == make_plan_hint("b")


async def test_progress_puts_the_next_handing_out_off(backend: Backend) -> None:
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 1)
        first = await receive_one(intake)
        await anyio.sleep(ACK_WAIT.total_seconds() / 2)
        said_at = await backend.server_time()
        first.in_progress()
        second = await receive_one(intake)
        assert (second.seq, second.attempts) == (first.seq, 2)
        assert await backend.server_time() - said_at >= ACK_WAIT - EARLY


async def test_what_is_handed_back_goes_to_another_at_once(backend: Backend) -> None:
    async with backend.intake("default") as one, backend.intake("default") as two:
        one.want(1)
        await deliver(backend, 1)
        first = await receive_one(one)
        handed_back_at = await backend.server_time()
        first.nak()
        two.want(1)
        second = await receive_one(two)
        assert (second.seq, second.attempts) == (first.seq, 2)
        assert await backend.server_time() - handed_back_at < ACK_WAIT


async def test_what_is_handed_back_with_a_delay_comes_after_it(backend: Backend) -> None:
    delay = timedelta(seconds=0.4)
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 1)
        first = await receive_one(intake)
        handed_back_at = await backend.server_time()
        first.nak(delay)
        second = await receive_one(intake)
        assert (second.seq, second.attempts) == (first.seq, 2)
        assert await backend.server_time() - handed_back_at >= delay - EARLY


async def test_a_delay_may_be_longer_than_ack_wait(backend: Backend) -> None:
    delay = ACK_WAIT * 1.5
    async with backend.intake("default") as intake:
        intake.want(10)
        await deliver(backend, 1)
        first = await receive_one(intake)
        handed_back_at = await backend.server_time()
        first.nak(delay)
        assert (await receive_one(intake)).attempts == 2
        assert await backend.server_time() - handed_back_at >= delay - EARLY


async def test_what_a_closed_intake_did_not_answer_goes_to_another_after_ack_wait(backend: Backend) -> None:
    async with backend.intake("default") as other:
        async with backend.intake("default") as closed:
            closed.want(10)
            await deliver(backend, 2)
            seqs = {delivery.seq for delivery in await collect(closed, 2)}
        other.want(10)
        again = await collect(other, 2)
    assert {delivery.seq for delivery in again} == seqs
    assert [delivery.attempts for delivery in again] == [2, 2]


async def test_a_closed_intake_is_handed_nothing_more(backend: Backend) -> None:
    async with backend.intake("default") as closed:
        closed.want(10)
    await deliver(backend, 3)
    async with backend.intake("default") as opened:
        opened.want(10)
        assert {delivery.attempts for delivery in await collect(opened, 3)} <= {1, 2}


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"v": 99}', b'{"v": 1, "n": 1}'])
async def test_a_message_that_cannot_be_read_is_handed_out_with_its_problem(server: Server, data: bytes) -> None:
    await server.put_delivery("a.b", data)
    async with server.backend.intake("default") as intake:
        intake.want(10)
        delivery = await receive_one(intake)
        assert delivery.hint is None
        assert delivery.problem
        delivery.ack()
        await until_none_is_delivered(server.backend)
