"""Runs on their instants: the replica over memory, on virtual time."""

from datetime import timedelta
from itertools import pairwise

from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Cron, Interval, Once
from tests.daemon.harness import World, in_a_world


@in_a_world
async def test_an_interval_fires_on_its_phase_and_never_early(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=3), handler="h")
    await world.clock.sleep(31)
    assert world.offsets("a") == [3.0 * k for k in range(1, 11)]
    assert all(start.lag >= 0 for start in world.starts)


@in_a_world
async def test_jobs_made_before_any_replica_was_up_fire(world: World) -> None:
    world.handler()
    await world.client.submit_job("once", Once(world.clock.now() + timedelta(seconds=30)), handler="h")
    await world.clock.sleep(10)
    await world.start()
    await world.clock.sleep(25)
    assert world.offsets("once") == [30.0]
    assert (await world.client.get_job("once")).state == "completed"


@in_a_world
async def test_ensuring_more_often_than_the_period_does_not_move_the_phase(world: World) -> None:
    world.handler()
    await world.start()
    for _ in range(10):
        await world.client.ensure_job("a", Interval(seconds=10), handler="h")
        await world.clock.sleep(4)
    assert world.offsets("a") == [10.0, 20.0, 30.0, 40.0][: len(world.offsets("a"))]
    assert len(world.offsets("a")) >= 3


@in_a_world
async def test_a_thousand_jobs_due_at_once_all_start_at_once(world: World) -> None:
    world.handler()
    await world.start()
    for number in range(1000):
        await world.client.ensure_job(f"j.{number}", Cron("*/5 * * * * *"), handler="h")
    await world.clock.sleep(5.5)
    starts = [call.started_at for call in world.calls]
    assert len(starts) == 1000
    assert max(starts) == min(starts)


@in_a_world
async def test_two_replicas_run_each_instant_once(world: World) -> None:
    world.handler()
    await world.start("r1")
    await world.start("r2")
    for number in range(20):
        await world.client.ensure_job(f"j.{number}", Interval(seconds=1), handler="h")
    await world.clock.sleep(10.5)
    runs = [(call.job_id, call.due) for call in world.calls]
    assert len(runs) == len(set(runs)) == 200


@in_a_world
async def test_a_run_that_finds_no_slot_goes_to_an_idle_replica(world: World) -> None:
    world.handler(takes=3.0)
    await world.start("r1", queues={"default": 2})
    for number in range(4):
        await world.client.submit_job(f"j.{number}", Once(world.clock.now() + timedelta(seconds=5)), handler="h")
    await world.clock.sleep(4.5)
    await world.start("r2", queues={"default": 2})
    await world.clock.sleep(5)
    assert {call.replica for call in world.calls} == {"r1", "r2"}
    assert max(start.lag for start in world.starts) < 1.0


@in_a_world
async def test_overlap_skip_records_what_it_leaves_out(world: World) -> None:
    world.handler(takes=2.5)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=1), handler="h")
    await world.clock.sleep(8.9)
    assert world.offsets("a") == [1.0, 4.0, 7.0]
    skipped = [record for record in world.left_out if record.status is ExecutionStatus.SKIPPED]
    assert len(skipped) == 5
    assert (await world.client.get_job("a")).counts[ExecutionStatus.SKIPPED] == 5
    listed = await world.client.executions("a", missed=True)
    assert {record.status for record in listed} == {ExecutionStatus.SKIPPED}


@in_a_world
async def test_overlap_allow_runs_side_by_side(world: World) -> None:
    world.handler(takes=2.5)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=1), handler="h", overlap="allow")
    await world.clock.sleep(6.5)
    assert world.offsets("a") == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@in_a_world
async def test_a_fixed_delay_counts_from_the_end(world: World) -> None:
    world.handler(takes=2.0)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=3, fixed_delay=True), handler="h")
    await world.clock.sleep(14)
    assert world.offsets("a") == [3.0, 8.0, 13.0]


@in_a_world
async def test_max_runs_completes_the_job(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=1, max_runs=3), handler="h")
    await world.clock.sleep(10)
    assert world.offsets("a") == [1.0, 2.0, 3.0]
    job = await world.client.get_job("a")
    assert (job.state, job.reason) == ("completed", "max_runs reached")


@in_a_world
async def test_jitter_moves_the_start_but_not_the_plan(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10, jitter=5), handler="h")
    await world.clock.sleep(46)
    dues = [call.due for call in world.calls]
    assert [later - earlier for earlier, later in pairwise(dues)] == [timedelta(seconds=10)] * (len(dues) - 1)
    assert all(0 <= call.lag < 5 for call in world.calls)
    assert len({call.lag for call in world.calls}) > 1


@in_a_world
async def test_a_trigger_runs_now_and_its_handle_tells_the_end(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(hours=1), handler="h", payload={"from": "job"})
    handle = await world.client.trigger_job("a", {"from": "hand"})
    record = await handle.wait(10)
    assert (record.status, record.manual) == (ExecutionStatus.OK, True)
    assert world.calls[0].payload == {"from": "hand"}
    assert (await world.client.get_job("a")).next_run is not None


@in_a_world
async def test_a_handler_that_fails_or_runs_too_long_is_recorded_as_that(world: World) -> None:
    world.handler("bad", fails=ValueError("no"))
    world.handler("slow", takes=60)
    await world.start()
    await world.client.ensure_job("bad", Interval(seconds=1, max_runs=1), handler="bad")
    await world.client.ensure_job("slow", Interval(seconds=1, max_runs=1), handler="slow", timeout=2)
    await world.clock.sleep(5)
    by_job = {record.job: record for record in world.ends}
    assert by_job["bad"].status is ExecutionStatus.FAILED
    assert by_job["bad"].error == "ValueError: no"
    assert by_job["slow"].status is ExecutionStatus.TIMED_OUT
    assert by_job["slow"].duration == 2.0


@in_a_world
async def test_at_most_once_without_overlap_check_writes_the_plan_alone(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job(
        "a", Interval(seconds=1), handler="h", delivery="at_most_once", overlap="allow", history="none"
    )
    await world.clock.sleep(5.5)
    assert world.offsets("a") == [1.0, 2.0, 3.0, 4.0, 5.0]
    job = await world.client.get_job("a")
    assert (job.runs, job.running) == (5, ())
    assert await world.client.executions("a") == []
