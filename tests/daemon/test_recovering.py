"""What outages of seconds leave behind: leases, hints and claims whose answers came late or never."""

from datetime import timedelta
from typing import Any

import anyio

from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job, JobId
from natsched.core.schedules import Interval, Once
from natsched.daemon.events import LeaseLost
from natsched.errors import Unavailable
from natsched.ports import Lock
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from tests.daemon.harness import World, in_a_world


async def _refuse(*_: object, **__: object) -> None:
    raise Unavailable


@in_a_world
async def test_a_handle_waits_for_as_long_as_the_execution_takes(world: World) -> None:
    world.handler(takes=60.0)
    await world.start()
    await world.client.ensure_job("a", Interval(hours=1), handler="h")
    record = await (await world.client.trigger_job("a")).wait(90)
    assert record.status is ExecutionStatus.OK


@in_a_world
async def test_a_lease_that_was_long_in_coming_is_renewed_in_time(world: World) -> None:
    create, renew = world.backend.locks.create, world.backend.locks.renew

    async def late(key: str, value: bytes, *, ttl: timedelta) -> Any:
        if key.startswith("lease."):
            await world.clock.sleep(4.2)
        return await create(key, value, ttl=ttl)

    async def slow(*arguments: Any, **options: Any) -> Any:
        await world.clock.sleep(0.01)
        return await renew(*arguments, **options)

    world.backend.locks.create = late  # type: ignore[method-assign]
    world.backend.locks.renew = slow  # type: ignore[method-assign]
    await world.start()
    await world.clock.sleep(30)
    assert world.told(LeaseLost) == []


@in_a_world
async def test_a_lease_that_is_lost_ends_although_a_renewal_came_through(world: World) -> None:
    await world.start()
    renew = world.backend.locks.renew

    async def deaf(*arguments: Any, **options: Any) -> None:
        await renew(*arguments, **options)
        raise Unavailable

    world.backend.locks.renew = deaf  # type: ignore[assignment, method-assign]
    while not world.told(LeaseLost):
        await world.clock.sleep(0.1)
    world.backend.locks.renew = renew  # type: ignore[method-assign]
    await world.clock.sleep(0.1)
    (lease,) = await world.backend.locks.list("lease")
    assert lease != world.told(LeaseLost)[0].lease


@in_a_world
async def test_a_claim_that_was_answered_after_the_lease_was_lost_calls_no_handler(world: World) -> None:
    world.handler()
    await world.start("r1")
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(1)
    write, renew = world.backend.jobs.write, world.backend.locks.renew

    async def late(*arguments: Any, **options: Any) -> int:
        revision = await write(*arguments, **options)
        await world.clock.sleep(8)
        return revision

    world.backend.jobs.write = late  # type: ignore[method-assign]
    world.backend.locks.renew = _refuse  # type: ignore[assignment, method-assign]
    await world.clock.sleep(1.5)
    world.backend.jobs.write = write  # type: ignore[method-assign]
    await world.clock.sleep(5)
    assert world.told(LeaseLost)
    world.backend.locks.renew = renew  # type: ignore[method-assign]
    await world.clock.sleep(30)
    assert [call.attempt for call in world.calls] == [2]


@in_a_world
async def test_hints_that_nobody_takes_for_a_while_stop_no_job_and_delay_no_run(world: World) -> None:
    world.handler()
    await world.start(reconciler_interval=timedelta(hours=1))
    await world.client.ensure_job("a", Interval(seconds=2), handler="h", catch_up="all")
    await world.clock.sleep(5)
    hints: Any = world.backend.hints
    deliver, schedule = hints.deliver, hints.schedule
    hints.deliver = hints.schedule = _refuse
    await world.clock.sleep(10)
    assert world.offsets("a") == [2.0, 4.0, 6.0], "the run whose claim owes the hint starts on time"
    hints.deliver, hints.schedule = deliver, schedule
    await world.clock.sleep(10)
    assert [round((call.due - world.calls[0].due).total_seconds()) for call in world.calls] == list(range(0, 24, 2))
    assert max(start.lag for start in world.starts) < 9


@in_a_world
async def test_runs_find_the_replica_that_has_their_handler_without_delay(world: World) -> None:
    world.handler()
    with_it = world.registry
    world.registry = Registry()
    await world.start("without")
    world.registry = with_it
    await world.start("with-it")
    at = world.clock.now() + timedelta(seconds=2)
    for number in range(30):
        await world.client.submit_job(f"a.{number}", Once(at + timedelta(seconds=number)), handler="h")
    await world.clock.sleep(40)
    assert len(world.calls) == 30
    assert max(start.lag for start in world.starts) < 0.05


@in_a_world
async def test_what_waited_for_a_place_while_the_lease_was_lost_runs_under_the_new_one(world: World) -> None:
    @world.registry.handler("stubborn")
    async def stubborn(_ctx: Context) -> None:
        try:
            await world.clock.sleep(100)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await world.clock.sleep(5)
            raise

    world.handler(takes=1.0)
    await world.start("r1", queues={"default": 1}, spill_after=timedelta(minutes=1))
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=1)), handler="stubborn")
    await world.client.submit_job("b", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(3)
    renew, world.backend.locks.renew = world.backend.locks.renew, _refuse  # type: ignore[assignment, method-assign]
    while not world.told(LeaseLost):
        await world.clock.sleep(0.1)
    world.backend.locks.renew = renew  # type: ignore[method-assign]
    while not world.calls:
        await world.clock.sleep(0.1)
    stored = await world.backend.jobs.read(JobId("b"))
    assert isinstance(stored.job, Job)
    (entry,) = stored.job.status.running.values()
    assert entry.lease in await world.backend.locks.list("lease")


@in_a_world
async def test_nothing_is_claimed_under_a_lease_that_is_over(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=1), handler="h", max_crashes=0)
    await world.clock.sleep(3.5)
    locks = world.backend.locks
    kept = locks.create, locks.renew

    async def away(*_: object, **__: object) -> Lock:
        raise Unavailable("the bucket of the locks has no leader")

    locks.create = locks.renew = away  # type: ignore[method-assign]
    await world.clock.sleep(30)
    before = len(world.calls)
    await world.clock.sleep(30)
    assert len(world.calls) == before
    assert not (await world.client.get_job("a")).running
    locks.create, locks.renew = kept  # type: ignore[method-assign]
    await world.clock.sleep(20)
    assert len(world.calls) > before
    assert not await world.client.executions("a", status=("dead", "lost"))


@in_a_world
async def test_the_first_sweep_after_a_death_ends_what_another_claimed_for_the_dead(world: World) -> None:
    world.handler()
    dying = await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(days=1), handler="h", scope="all")
    await world.clock.sleep(1)
    dying.kill()
    await world.clock.sleep(1)
    await world.client.trigger_job("a")
    await world.clock.sleep(40)
    assert [call.replica for call in world.calls] == ["r2"]
    assert [record.status for record in world.left_out] == [ExecutionStatus.LOST]


@in_a_world
async def test_a_job_that_is_always_behind_takes_over_what_a_dead_replica_left(world: World) -> None:
    world.handler(takes=2.5)
    members = {name: await world.start(name) for name in ("r1", "r2", "r3")}
    await world.client.ensure_job("a", Interval(seconds=2), handler="h", overlap="queue")
    await world.clock.sleep(3)
    (lost,) = world.calls
    members[lost.replica].kill()
    await world.clock.sleep(12)
    assert [call.attempt for call in world.calls if call.execution_id == lost.execution_id] == [1, 2]
