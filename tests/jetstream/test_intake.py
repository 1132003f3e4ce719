"""A queue's deliveries through outages."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from natsched.core.hints import PlanHint
from natsched.jetstream.api import call
from natsched.jetstream.intake import QueueDelivery, QueueIntake, ack_numbers
from natsched.jetstream.pulling import Loss, Puller
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from natsched.jetstream.topology import Topology
from natsched.ports import Delivery, Intake
from tests.contract.waiting import eventually, until_none_is_delivered
from tests.factories import make_plan_hint
from tests.jetstream.opening import Opened, make, open_backend

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 20
LONG_WAIT = Topology(ack_wait=timedelta(seconds=60))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(ServerOptions(store=tmp_path)) as server:
        yield server


@pytest.fixture
async def opened(server: EmbeddedServer) -> AsyncIterator[Opened]:
    async with open_backend(server, topology=LONG_WAIT) as opened:
        yield opened


async def deliver(opened: Opened, *numbers: int) -> None:
    async with anyio.create_task_group() as tasks:
        for n in numbers:
            tasks.start_soon(opened.backend.hints.deliver, make_plan_hint(f"job.{n}", n))


async def collect(intake: Intake, number: int, *, room: int = 100) -> list[Delivery]:
    received: list[Delivery] = []
    with anyio.fail_after(DEADLINE):
        while len(received) < number:
            intake.want(room)
            received += await intake.receive()
    return received


def numbers(deliveries: list[Delivery]) -> list[int]:
    found = [delivery.hint for delivery in deliveries]
    return sorted(hint.n for hint in found if isinstance(hint, PlanHint))


async def test_an_intake_goes_on_by_itself_after_a_restart(opened: Opened, server: EmbeddedServer) -> None:
    async with opened.backend.intake("default") as intake:
        await deliver(opened, *range(5))
        before = await collect(intake, 5)
        server.kill()
        await server.start_async()
        with anyio.fail_after(DEADLINE):
            await opened.connection.wait_connected()
        await deliver(opened, *range(5, 10))
        after: list[Delivery] = []
        while not set(range(5, 10)) <= set(numbers(after)):  # a killed server may hand out the first ones again
            after += await collect(intake, 1)
        for delivery in before + after:
            delivery.ack()
        await until_none_is_delivered(opened.backend)


async def test_a_consumer_that_was_deleted_is_made_again(server: EmbeddedServer) -> None:
    async with open_backend(server, topology=Topology(ack_wait=timedelta(seconds=1))) as opened:
        await delete_the_consumer(opened)


async def delete_the_consumer(opened: Opened) -> None:
    """The server may take the old consumer's state over if the new one comes at once: then `ack_wait` brings 1."""
    names = opened.names
    async with opened.backend.intake("default") as intake:
        intake.want(10)
        await deliver(opened, 1)
        assert numbers(await collect(intake, 1)) == [1]
        await call(opened.connection, f"CONSUMER.DELETE.{names.stream}.{names.consumer_of('default')}")
        await deliver(opened, 2)
        assert numbers(await collect(intake, 2)) == [1, 2]


async def test_without_a_way_to_make_it_a_missing_consumer_is_waited_for(server: EmbeddedServer) -> None:
    async with (
        open_backend(server, ensure=False) as opened,
        opened.backend.intake("other") as intake,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(collect, intake, 1)
        await opened.backend.hints.deliver(make_plan_hint("a", queue="other"))
        await anyio.sleep(0.3)  # so that it has asked, and been told that there is nobody
        await make(opened.connection, opened.topology.consumer("other"))


async def test_what_nobody_received_is_handed_back_at_the_close(opened: Opened) -> None:
    async with opened.backend.intake("default") as closing:
        closing.want(3)
        await deliver(opened, 1, 2, 3)
        await eventually(partial(_arrived, closing), lambda arrived: arrived == 3)
    async with opened.backend.intake("default") as intake:
        assert numbers(await collect(intake, 3)) == [1, 2, 3]


async def _arrived(intake: QueueIntake) -> int:
    return len(intake._arrived)


async def test_room_is_asked_for_in_few_requests(opened: Opened) -> None:
    async with opened.backend.intake("default") as intake:
        await deliver(opened, *range(500))
        opened.connection.nc.stats["out_msgs"] = 0
        assert len(await collect(intake, 500, room=1000)) == 500
        for room in range(100):
            intake.want(room)
        await anyio.wait_all_tasks_blocked()
        assert opened.connection.nc.stats["out_msgs"] < 20


async def test_a_delivery_of_somebody_else_says_its_problem(opened: Opened) -> None:
    await opened.connection.js.publish("scheduler.delivery.default.odd", b"{}")
    await opened.connection.js.publish("scheduler.delivery.default.plan.a", b"{}")
    async with opened.backend.intake("default") as intake:
        odd, unreadable = await collect(intake, 2)
    assert (odd.hint, unreadable.hint) == (None, None)
    assert "scheduler.delivery.default.odd" in (odd.problem or "")
    assert "hint" in (unreadable.problem or "")


async def test_answers_in_an_outage_do_not_raise(opened: Opened, server: EmbeddedServer) -> None:
    async with opened.backend.intake("default") as intake:
        await deliver(opened, 1)
        (delivery,) = await collect(intake, 1)
        await server.stop_async()
        delivery.in_progress()
        delivery.nak(timedelta(seconds=1))
        delivery.ack()
        await server.start_async()


async def test_acknowledgements_of_the_second_format_are_understood(tmp_path: Path) -> None:
    options = ServerOptions(store=tmp_path, extra="feature_flags { js_ack_fc_v2: true }")
    async with (
        EmbeddedServer(options) as server,
        open_backend(server) as opened,
        opened.backend.locks.endings("lease") as endings,
        opened.backend.intake("default") as intake,
    ):
        await deliver(opened, 1)
        (delivery,) = await collect(intake, 1)
        assert isinstance(delivery, QueueDelivery)
        assert delivery._reply.count(b".") >= 10
        (pending,) = await opened.backend.hints.deliveries()
        assert (delivery.seq, delivery.attempts) == (pending.seq, 1)
        delivery.nak()
        (again,) = await collect(intake, 1)
        assert (again.seq, again.attempts) == (pending.seq, 2)
        again.ack()
        await until_none_is_delivered(opened.backend)
        lock = await opened.backend.locks.create("lease.a", b"", ttl=timedelta(seconds=60))
        await opened.backend.locks.release(lock)
        with anyio.fail_after(DEADLINE):
            assert await anext(endings) == "lease.a"


async def test_a_frozen_server_is_noticed_and_pulled_from_again(opened: Opened, server: EmbeddedServer) -> None:
    names = opened.names
    losses: list[Loss] = []
    recovered, taken = anyio.Event(), anyio.Event()

    async def recover(loss: Loss) -> None:
        losses.append(loss)
        recovered.set()

    subject = f"$JS.API.CONSUMER.MSG.NEXT.{names.stream}.{names.consumer_of('default')}"
    puller = Puller(opened.connection, subject, lambda *_: taken.set(), recover, expires=2, heartbeat=0.25)
    async with puller.pulling():
        puller.want(10)
        await anyio.sleep(1)  # heartbeats keep it content
        assert losses == []
        server.pause()
        with anyio.fail_after(DEADLINE):
            await recovered.wait()
        server.resume()
        await deliver(opened, 1)
        with anyio.fail_after(DEADLINE):
            await taken.wait()
    assert set(losses) == {Loss.SILENT}


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        (b"$JS.ACK.S.consumer.3.71.9.1700000000000000000.5", (3, 71, 5)),
        (b"$JS.ACK.hub.Xab12.S.consumer.3.71.9.1700000000000000000.5", (3, 71, 5)),
        (b"$JS.ACK._.Xab12.S.consumer.3.71.9.1700000000000000000.5.r4nd0m", (3, 71, 5)),
        (b"", (0, 0, 0)),
        (b"_INBOX.a.b", (0, 0, 0)),
    ],
)
def test_both_formats_of_an_acknowledgement_subject_are_read(reply: bytes, numbers: tuple[int, int, int]) -> None:
    assert ack_numbers(reply) == numbers
