"""`ports.HintStream`: hints on a schedule."""

from datetime import timedelta

import pytest

from natsched.core.hints import Hint, Pending
from natsched.core.jobs import JobId
from natsched.errors import Conflict
from natsched.ports import Backend
from tests.contract.servers import Server
from tests.contract.waiting import PAST, collect, eventually, receive_one, soon
from tests.factories import make_plan_hint, make_run_hint

pytestmark = pytest.mark.anyio


async def look(backend: Backend, hint: Hint) -> Pending | None:
    (pending,) = await backend.hints.scheduled([hint])
    return pending


async def walked(backend: Backend, *, chunk: int = 256) -> list[Pending]:
    return [pending async for found in backend.hints.walk(chunk=chunk) for pending in found]


@pytest.mark.parametrize("hint", [make_plan_hint("a.b", 3, queue="mail"), make_run_hint("a.b", attempt=2)])
async def test_what_lies_on_a_schedule_is_looked_up(backend: Backend, hint: Hint) -> None:
    at = soon(await backend.server_time(), 3600)
    seq = await backend.hints.schedule(hint, at, expected=0)
    pending = await look(backend, hint)
    assert pending is not None
    assert (pending.seq, pending.job, pending.hint, pending.at) == (seq, "a.b", hint, at)


async def test_an_empty_schedule_is_looked_up_as_none(backend: Backend) -> None:
    first, second = make_plan_hint("a"), make_plan_hint("b")
    await backend.hints.schedule(second, soon(await backend.server_time(), 3600), expected=0)
    found = await backend.hints.scheduled([first, second, first])
    assert [pending and pending.job for pending in found] == [None, "b", None]
    assert await backend.hints.scheduled([]) == []


async def test_a_schedule_that_holds_something_is_not_taken_for_empty(backend: Backend) -> None:
    at = soon(await backend.server_time(), 3600)
    await backend.hints.schedule(make_plan_hint("a", 1), at, expected=0)
    with pytest.raises(Conflict):
        await backend.hints.schedule(make_plan_hint("a", 2), at, expected=0)
    pending = await look(backend, make_plan_hint("a"))
    assert pending is not None
    assert pending.hint == make_plan_hint("a", 1)


async def test_an_empty_schedule_is_not_taken_for_another(backend: Backend) -> None:
    with pytest.raises(Conflict):
        await backend.hints.schedule(make_plan_hint("a"), soon(await backend.server_time(), 3600), expected=5)
    assert await look(backend, make_plan_hint("a")) is None


async def test_a_hint_is_replaced_by_its_sequence(backend: Backend) -> None:
    now = await backend.server_time()
    first = await backend.hints.schedule(make_plan_hint("a", 1), soon(now, 3600), expected=0)
    second = await backend.hints.schedule(make_plan_hint("a", 2), soon(now, 7200), expected=first)
    with pytest.raises(Conflict):
        await backend.hints.schedule(make_plan_hint("a", 3), soon(now, 3600), expected=first)
    (pending,) = await walked(backend)
    assert (pending.seq, pending.hint, pending.at) == (second, make_plan_hint("a", 2), soon(now, 7200))


async def test_a_hint_that_was_replaced_never_fires(backend: Backend) -> None:
    now = await backend.server_time()
    first = await backend.hints.schedule(make_plan_hint("a", 1), soon(now, 1), expected=0)
    await backend.hints.schedule(make_plan_hint("a", 2), soon(now, 2), expected=first)
    async with backend.intake("default") as intake:
        intake.want(10)
        assert (await receive_one(intake)).hint == make_plan_hint("a", 2)


async def test_a_deleted_schedule_leaves_its_subject_empty(backend: Backend) -> None:
    at = soon(await backend.server_time(), 3600)
    hint = make_plan_hint("a")
    seq = await backend.hints.schedule(hint, at, expected=0)
    await backend.hints.delete(seq)
    assert await look(backend, hint) is None
    assert await backend.hints.schedule(hint, at, expected=0) > seq


async def test_deleting_what_is_gone_is_well(backend: Backend) -> None:
    kept = make_plan_hint("a")
    seq = await backend.hints.schedule(kept, soon(await backend.server_time(), 3600), expected=0)
    await backend.hints.delete(seq)
    await backend.hints.delete(seq)
    await backend.hints.delete(seq + 1000)


async def test_each_execution_and_the_plan_have_schedules_of_their_own(backend: Backend) -> None:
    at = soon(await backend.server_time(), 3600)
    hints: list[Hint] = [make_plan_hint("a"), make_run_hint("a", "A-1"), make_run_hint("a", "A-m2")]
    for hint in hints:
        await backend.hints.schedule(hint, at, expected=0)
    assert [pending and pending.hint for pending in await backend.hints.scheduled(hints)] == hints
    with pytest.raises(Conflict):
        await backend.hints.schedule(make_run_hint("a", "A-1", attempt=2), at, expected=0)


async def test_plans_of_many_jobs_are_looked_up_at_once(backend: Backend) -> None:
    at = soon(await backend.server_time(), 3600)
    hints: list[Hint] = [make_plan_hint("a"), make_plan_hint("a.b"), make_run_hint("c")]
    for hint in hints:
        await backend.hints.schedule(hint, at, expected=0)
    ids = [JobId(job) for job in ("a", "missing", "a.b", "c")] + [JobId(f"none.{n}") for n in range(1100)]
    found = await backend.hints.scheduled_of(ids)
    assert {job: pending.hint for job, pending in found.items()} == {
        "a": make_plan_hint("a"),
        "a.b": make_plan_hint("a.b"),
    }
    assert await backend.hints.scheduled_of([]) == {}


@pytest.mark.parametrize("chunk", [1, 2, 256])
async def test_a_walk_shows_every_schedule_and_no_delivery(backend: Backend, chunk: int) -> None:
    at = soon(await backend.server_time(), 3600)
    hints: list[Hint] = [make_plan_hint("a"), make_run_hint("a"), make_plan_hint("b.c", queue="mail")]
    for hint in hints:
        await backend.hints.schedule(hint, at, expected=0)
    await backend.hints.deliver(make_plan_hint("delivered"))
    chunks = [found async for found in backend.hints.walk(chunk=chunk)]
    assert all(1 <= len(found) <= chunk for found in chunks)
    found = [pending for part in chunks for pending in part]
    assert sorted((str(p.hint), p.at) for p in found) == sorted((str(hint), at) for hint in hints)


async def test_a_walk_shows_schedules_that_cannot_be_read(server: Server) -> None:
    at = soon(await server.backend.server_time(), 3600)
    await server.put_schedule("a.b", b"not a hint", at)
    (pending,) = await walked(server.backend)
    assert (pending.job, pending.hint, pending.at) == ("a.b", None, at)


@pytest.mark.parametrize("hint", [make_plan_hint("a.b", 3, queue="mail"), make_run_hint("a.b", queue="mail")])
async def test_a_schedule_fires_into_its_queue_and_never_early(backend: Backend, hint: Hint) -> None:
    at = soon(await backend.server_time(), 1.2)
    await backend.hints.schedule(hint, at, expected=0)
    async with backend.intake("mail") as intake:
        intake.want(10)
        delivery = await receive_one(intake)
        assert timedelta(0) <= await backend.server_time() - at
        assert (delivery.hint, delivery.problem, delivery.attempts) == (hint, None, 1)


async def test_firing_leaves_the_schedule_empty_and_a_delivery_in_its_place(backend: Backend) -> None:
    hint = make_plan_hint("a")
    seq = await backend.hints.schedule(hint, soon(await backend.server_time(), 1), expected=0)
    (delivered,) = await eventually(backend.hints.deliveries, lambda deliveries: len(deliveries) == 1)
    assert (delivered.job, delivered.hint, delivered.at) == ("a", hint, None)
    assert delivered.seq > seq
    assert await look(backend, hint) is None
    await backend.hints.schedule(hint, soon(await backend.server_time(), 3600), expected=0)


async def test_a_schedule_of_the_past_fires_at_once(backend: Backend) -> None:
    hint = make_plan_hint("a")
    await backend.hints.schedule(hint, PAST, expected=0)
    async with backend.intake("default") as intake:
        intake.want(1)
        assert (await receive_one(intake)).hint == hint


async def test_schedules_of_one_instant_all_fire(backend: Backend) -> None:
    at = soon(await backend.server_time(), 1)
    hints = [make_plan_hint(f"x.{number}") for number in range(50)]
    for hint in hints:
        await backend.hints.schedule(hint, at, expected=0)
    async with backend.intake("default") as intake:
        intake.want(100)
        deliveries = await collect(intake, 50)
    assert sorted(str(delivery.hint) for delivery in deliveries) == sorted(str(hint) for hint in hints)
