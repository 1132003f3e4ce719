"""`ports.Outbox` and what is handed out of it: status changes on their way to a URL."""

from datetime import timedelta

import anyio
import pytest

from natsched.core.executions import ExecutionStatus
from natsched.core.webhooks import Notice, Webhook, notices
from natsched.ports import Backend, NoticeDelivery, NoticeIntake
from tests.contract.servers import ACK_WAIT, Server
from tests.contract.waiting import DEADLINE, until_none_is_delivered
from tests.factories import NOON, make_plan_hint, make_record

pytestmark = pytest.mark.anyio


def make_notice(number: int = 1, *, url: str = "https://a.example/hook", secret: str | None = None) -> Notice:
    record = make_record("a.b", attempt=number, status=ExecutionStatus.FAILED, ended_at=NOON, error="ä")
    (notice,) = notices(record, Webhook(url=url, secret=secret), ())
    return notice


async def collect(intake: NoticeIntake, number: int) -> list[NoticeDelivery]:
    found: list[NoticeDelivery] = []
    with anyio.fail_after(DEADLINE):
        while len(found) < number:
            found += await intake.receive()
    assert len(found) == number
    return found


async def test_a_notice_is_handed_out_as_it_is(backend: Backend) -> None:
    notice = make_notice(secret="NATSCHED_SECRET_A")
    async with backend.notices() as intake:
        intake.want(1)
        await backend.outbox.put(notice)
        (delivery,) = await collect(intake, 1)
    assert (delivery.notice, delivery.problem, delivery.attempts) == (notice, None, 1)


async def test_a_notice_is_not_doubled_but_goes_to_each_url(backend: Backend) -> None:
    there, elsewhere = make_notice(), make_notice(url="https://b.example/")
    signed = make_notice(secret="NATSCHED_SECRET_A")
    for notice in (there, elsewhere, there, signed, elsewhere):
        await backend.outbox.put(notice)
    async with backend.notices() as intake:
        intake.want(10)
        found = [delivery.notice for delivery in await collect(intake, 3)]
        await backend.outbox.put(make_notice(2))
        assert (await collect(intake, 1))[0].notice == make_notice(2)
    assert found == [there, elsewhere, signed]


async def test_a_notice_that_nobody_answers_for_or_that_is_handed_back_comes_again(backend: Backend) -> None:
    await backend.outbox.put(make_notice())
    async with backend.notices() as intake:
        intake.want(10)
        await collect(intake, 1)
        (second,) = await collect(intake, 1)
        began = anyio.current_time()
        second.nak(timedelta(seconds=1))
        (third,) = await collect(intake, 1)
        assert anyio.current_time() - began > 0.9
        assert (second.attempts, third.attempts) == (2, 3)
        third.ack()
        await backend.outbox.put(make_notice(2))
        assert (await collect(intake, 1))[0].notice == make_notice(2)


async def test_a_notice_in_progress_is_handed_to_nobody_else(backend: Backend) -> None:
    await backend.outbox.put(make_notice())
    async with backend.notices() as one, backend.notices() as other:
        one.want(1)
        (delivery,) = await collect(one, 1)
        other.want(1)
        with anyio.move_on_after(2 * ACK_WAIT.total_seconds()) as silence:
            while True:
                with anyio.move_on_after(ACK_WAIT.total_seconds() / 4):
                    await other.receive()
                    break
                delivery.in_progress()
        assert silence.cancelled_caught
        delivery.nak()
        (again,) = await collect(other, 1)
        assert again.notice == make_notice()


async def test_notices_and_hints_do_not_mix(backend: Backend) -> None:
    await backend.outbox.put(make_notice())
    await backend.hints.deliver(make_plan_hint("a"))
    assert [pending.hint for pending in await backend.hints.deliveries()] == [make_plan_hint("a")]
    assert [pending async for chunk in backend.hints.walk() for pending in chunk] == []
    async with backend.notices() as notices, backend.intake("default") as hints:
        notices.want(10)
        hints.want(10)
        assert [delivery.notice for delivery in await collect(notices, 1)] == [make_notice()]
        (hint,) = await hints.receive()
        hint.ack()
        await until_none_is_delivered(backend)


async def test_what_is_no_notice_says_so(server: Server) -> None:
    await server.put_notice("x.1.ok", b"\xff no notice")
    async with server.backend.notices() as intake:
        intake.want(1)
        (delivery,) = await collect(intake, 1)
    assert delivery.notice is None
    assert delivery.problem == "notice: not a notice of natsched: UnicodeDecodeError"
