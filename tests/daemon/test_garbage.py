"""Others write what they like wherever natsched reads: it is told and left, or dropped; a neighbour loses nothing."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.chains import After
from natsched.core.executions import ExecutionStatus
from natsched.core.hints import encode_hint
from natsched.core.jobs import Job, JobId
from natsched.core.planning import plan_hint
from natsched.core.schedules import Interval
from natsched.core.targets import NatsRequest
from natsched.daemon.events import HintDropped, Quarantined, Repaired
from natsched.errors import BackendError, DocumentError
from natsched.targets.context import Context
from tests.daemon.harness import World, in_a_world, world
from tests.daemon.vandal import VICTIMS, Vandal
from tests.factories import make_plan_hint
from tests.garbage import examples, listening
from tests.virtual import run_virtual

SOON = timedelta(seconds=3)
HASTY: dict[str, Any] = {"reconciler_interval": SOON, "reconciler_grace": SOON}
PERIOD = 5.0


class Taker:
    """Takes every notice."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, limit: float) -> int:
        return 200

    async def close(self) -> None:
        pass


async def _furnish(one: World) -> None:
    """Have a neighbour, and jobs of all kinds that read what others may write."""

    async def saving(ctx: Context) -> None:
        await ctx.get_data()
        await ctx.save_data({"row": 1})
        ctx.check_in("saved")

    one.handler()
    one.handler("slow", takes=2.0)
    one.registry.handler("saving")(saving)
    one.poster = Taker()
    client = one.client
    await client.ensure_job("ok", Interval(seconds=PERIOD), handler="h")
    await client.ensure_job(
        "bad", Interval(seconds=PERIOD), handler="slow", overlap="queue", webhook="https://host/hook"
    )
    await client.ensure_job("bad.all", Interval(seconds=7), handler="slow", scope="all")
    await client.ensure_job("bad.primary", Interval(seconds=7), handler="h", primary_only=True)
    await client.ensure_job("bad.after", After("bad"), handler="saving")
    await client.ensure_job("bad.asks", Interval(seconds=6), target=NatsRequest(subject="work", heartbeat=3.0))


@examples(8, shrink=False)
@given(st.data())
def test_whatever_is_written_a_neighbour_loses_nothing_and_what_is_put_right_runs(data: st.DataObject) -> None:
    run_virtual(partial(_suffer, data))


async def _suffer(data: st.DataObject) -> None:
    with listening() as told:
        async with world() as one:
            await _furnish(one)
            vandal = Vandal(one, data)
            one.backend.messages.subscribe("work", vandal.answer)
            member = await one.start("r1", **HASTY)
            for _ in range(data.draw(st.integers(1, 4))):
                await one.clock.sleep(data.draw(st.sampled_from((0.0, 0.5, 2.5, 5.2))))
                await vandal.act()
            await one.clock.sleep(70)
            runs = one.offsets("ok")
            assert runs == [PERIOD * number for number in range(1, len(runs) + 1)]
            assert runs[-1] > one.clock.monotonic() - PERIOD - 1
            await _put_right(one)
            assert not member.scope.cancel_called
    assert told.unforeseen == []


async def _put_right(one: World) -> None:
    """Remove all that was damaged, as an operator does, and have a service ensure its job again."""
    jobs = one.backend.streams.jobs
    for job in VICTIMS:
        last = jobs.last(job)
        if last is not None:
            jobs.remove(last.seq)
    await one.client.ensure_job("bad", Interval(seconds=PERIOD), handler="h")
    await one.clock.sleep(25)
    since = len(one.offsets("bad"))
    await one.clock.sleep(4 * PERIOD)
    assert len(one.offsets("bad")) >= since + 3


@in_a_world
async def test_a_quarantined_document_is_told_kept_and_refused_until_it_is_put_right(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=5), handler="h")
    jobs = world.backend.streams.jobs
    good = jobs.last("a")
    assert good is not None
    bad = good.data.replace(b'"queue":"default"', b'"queue":"a b"')
    jobs.put("a", bad)
    await world.clock.sleep(61)
    assert {event.reason for event in world.told(Quarantined)} == {"spec.queue: 'a b' is no name"}
    for call in (world.client.ensure_job("a", Interval(seconds=5), handler="h"), world.client.remove_job("a")):
        with pytest.raises(DocumentError, match=r"the document of a cannot be read: spec\.queue"):
            await call
    last = jobs.last("a")
    assert last is not None
    assert last.data == bad
    jobs.put("a", good.data)
    await world.clock.sleep(70)
    assert len(world.calls) > 1


@in_a_world
async def test_a_record_that_cannot_be_read_does_not_keep_its_execution_from_being_taken_over(world: World) -> None:
    world.handler(takes=30.0)
    victim = await world.start("r1")
    await world.client.ensure_job("a", Interval(hours=1), handler="h")
    handle = await world.client.trigger_job("a")
    await world.clock.sleep(2)
    victim.kill()
    world.backend.streams.history.put(f"a.{handle.execution_id}.1", b'{"v": 2}')
    await world.start("r2")
    await world.clock.sleep(60)
    assert [call.attempt for call in world.calls] == [1, 2]
    assert (await handle.wait(1)).status is ExecutionStatus.OK


@in_a_world
async def test_a_primary_that_is_no_lease_holds_up_nothing_for_longer_than_it_is_there(world: World) -> None:
    world.handler()
    with listening() as told:
        await world.start()
        await world.client.ensure_job("a", Interval(seconds=5), handler="h", primary_only=True)
        await world.backend.locks.put("reconciler", b"\xff", ttl=timedelta(seconds=20))
        await world.clock.sleep(60)
    assert len(world.calls) > 4
    assert told.unforeseen == []


@in_a_world
async def test_a_lease_nested_too_deep_is_no_lease(world: World) -> None:
    with listening() as told:
        await world.backend.locks.put("lease.x.1", b"[" * 100_000, ttl=timedelta(hours=1))
        await world.start(**HASTY)
        await world.clock.sleep(10)
    assert told.unforeseen == []


@in_a_world
async def test_a_hint_that_waits_for_another_instant_is_dropped_and_keeps_no_plan_from_being_hinted(
    world: World,
) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=5), handler="h")
    stored = await world.backend.jobs.read(JobId("a"))
    assert isinstance(stored.job, Job)
    planned = plan_hint(stored.job, stored.revision)
    assert planned is not None
    hints = world.backend.streams.hints
    late = {
        far: encode_hint(make_plan_hint("a", uid=planned.uid, start=planned.start + far))
        for far in (timedelta(minutes=50), timedelta(days=20_000))
    }
    for data in late.values():
        hints.append("scheduler.delivery.default.plan.a", data)
    pending = hints.last("scheduler.schedule.a")
    assert pending is not None
    hints.remove(pending.seq)
    await world.start(**HASTY)
    await world.clock.sleep(30)
    assert len(world.calls) >= 4
    assert world.told(HintDropped)[0].reason == "it came far too early"


@in_a_world
async def test_a_schedule_of_a_document_that_never_was_is_removed(world: World) -> None:
    world.handler()
    await world.start(**HASTY)
    await world.client.ensure_job("a", Interval(seconds=5), handler="h")
    await world.clock.sleep(2)
    at = world.clock.now() + timedelta(days=365)
    data = encode_hint(make_plan_hint("a", 10**9, start=at, revision=10**18))
    world.backend.streams.hints.put("scheduler.schedule.a", data, at=at, target="scheduler.delivery.default.plan.a")
    await world.clock.sleep(60)
    assert "schedule of a document that never was" in {event.reason for event in world.told(Repaired)}
    runs = len(world.calls)
    await world.clock.sleep(20)
    assert len(world.calls) == runs + 4


@in_a_world
async def test_a_repair_that_is_refused_does_not_keep_the_next_one_from_being_made(world: World) -> None:
    world.handler()
    for job in ("a", "b"):
        await world.client.ensure_job(job, Interval(seconds=5), handler="h")
        pending = world.backend.streams.hints.last(f"scheduler.schedule.{job}")
        assert pending is not None
        world.backend.streams.hints.remove(pending.seq)
    schedule = world.backend.hints.schedule

    async def refuse(hint: Any, at: Any, *, expected: int) -> int:
        if hint.job == "a":
            raise BackendError("refused")
        return await schedule(hint, at, expected=expected)

    with mock.patch.object(world.backend.hints, "schedule", refuse), listening() as told:
        await world.start(**HASTY)
        await world.clock.sleep(20)
    assert {call.job_id for call in world.calls} == {"b"}
    assert "repair_failed" in told.actions


@in_a_world
async def test_what_a_run_says_that_cannot_be_written_is_written_as_well_as_may_be(world: World) -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]

    async def nested(_: Context) -> Any:
        return deep

    async def surrogate(ctx: Context) -> None:
        ctx.check_in("half \ud800")
        raise ValueError("no \ud800")

    world.registry.handler("nested")(nested)
    world.registry.handler("surrogate")(surrogate)
    await world.start()
    for name in ("nested", "surrogate"):
        await world.client.ensure_job(name, Interval(hours=1), handler=name)
    record = await (await world.client.trigger_job("nested")).wait(20)
    assert (record.status, record.result, record.reason) == (
        ExecutionStatus.OK,
        None,
        "its result is nested 301 deep, and is not kept",
    )
    handle = await world.client.trigger_job("surrogate")
    await world.clock.sleep(20)
    (record,) = await world.client.executions("surrogate", handle.execution_id)
    assert (record.error, record.check_in and record.check_in.text) == ("ValueError: no ?", "half ?")


@in_a_world
async def test_saved_data_that_others_overwrote_fails_the_run_with_an_error_that_says_so(world: World) -> None:
    async def saving(ctx: Context) -> None:
        world.backend.streams.locks.put(f"note.a.{ctx.execution_id}.data", b"\xff")
        await ctx.get_data()

    world.registry.handler("saving")(saving)
    await world.start()
    await world.client.ensure_job("a", Interval(hours=1), handler="saving")
    handle = await world.client.trigger_job("a")
    await world.clock.sleep(20)
    (record,) = await world.client.executions("a", handle.execution_id)
    assert "what the execution saved cannot be read" in (record.error or "")
