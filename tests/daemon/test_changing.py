"""Jobs that are changed while they are about to run: one definition at a time."""

from datetime import timedelta

from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.schedules import Interval, Once
from tests.daemon.harness import World, in_a_world

S = ExecutionStatus


@in_a_world
async def test_a_pause_in_the_last_second_holds(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(9.5)
    await world.client.pause_job("a")
    await world.clock.sleep(30)
    assert world.calls == []
    await world.client.resume_job("a")
    await world.clock.sleep(10)
    assert world.offsets("a") == [40.0]


@in_a_world
async def test_a_pause_with_an_end_ends_by_itself(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.client.pause_job("a", until=world.clock.now() + timedelta(seconds=35))
    await world.clock.sleep(34)
    assert (await world.client.get_job("a")).state == "paused"
    await world.clock.sleep(17)
    assert world.offsets("a") == [40.0, 50.0]
    assert (await world.client.get_job("a")).state == "active"


@in_a_world
async def test_an_update_in_the_last_second_holds(world: World) -> None:
    world.handler("old")
    world.handler("new")
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="old")
    await world.clock.sleep(9.5)
    await world.client.ensure_job("a", Interval(seconds=4), handler="new")
    await world.clock.sleep(8)
    assert world.offsets("a") == [12.0, 16.0]


@in_a_world
async def test_a_removal_in_the_last_second_holds(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(9.5)
    await world.client.remove_job("a")
    await world.clock.sleep(20)
    assert world.calls == []


@in_a_world
async def test_a_job_created_anew_under_its_id_starts_from_nothing(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(9.5)
    await world.client.remove_job("a")
    await world.client.ensure_job("a", Interval(seconds=5), handler="h")
    await world.clock.sleep(11)
    assert world.offsets("a") == [14.5, 19.5]


@in_a_world
async def test_a_paused_job_still_runs_by_hand(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.client.pause_job("a")
    record = await (await world.client.trigger_job("a")).wait(10)
    assert record.manual
    assert len(world.calls) == 1


@in_a_world
async def test_a_past_instant_in_code_does_not_run_again_at_every_start(world: World) -> None:
    world.handler()
    await world.start()
    past = Once(world.clock.now() - timedelta(days=1))
    await world.client.ensure_job("a", past, handler="h")
    await world.client.ensure_job("a", past, handler="h")
    await world.clock.sleep(10)
    assert world.calls == []
    assert (await world.client.get_job("a")).state == "completed"


@in_a_world
async def test_a_run_that_its_job_is_removed_from_under_goes_on_and_is_told_of(world: World) -> None:
    world.handler(takes=5.0)
    await world.start()
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(3)
    await world.client.remove_job("a")
    (claimed,) = await world.client.executions("a", missed=True)
    assert (claimed.status, claimed.reason) == (S.CANCELLED, "the job was removed while it was claimed or ran")
    await world.clock.sleep(10)
    assert len(world.calls) == 1
    assert [one async for one in world.client.iter_jobs()] == []
    ended, *_ = await world.client.executions("a")
    assert (ended.status, ended.execution) == (S.OK, claimed.execution)
    assert not await world.client.executions("a", missed=True)


@in_a_world
async def test_a_run_whose_job_was_removed_before_it_began_is_told_of(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    member = await world.start()
    write = world.backend.jobs.write

    async def write_and_die(job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        revision = await write(job, expected=expected, ttl=ttl)
        if job.status.running:
            member.kill()
            await world.clock.sleep(60)
        return revision

    world.backend.jobs.write = write_and_die  # type: ignore[method-assign]
    await world.clock.sleep(12)
    await world.client.remove_job("a")
    (record,) = await world.client.executions("a", missed=True)
    assert (world.calls, record.status, record.number) == ([], S.CANCELLED, 1)
