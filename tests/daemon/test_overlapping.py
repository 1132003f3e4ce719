"""Runs that last longer than their period: skipped, queued, so many at once, over several replicas."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

import anyio
import pytest

from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import JobId, Overlap, Stored
from natsched.core.schedules import Interval, Once
from natsched.daemon.events import HandedBack
from tests.daemon.harness import World, in_a_world


def most_at_once(world: World, takes: float) -> int:
    """Return how many of the calls, which took so many seconds each, were under way at once."""
    starts = sorted(call.started_at for call in world.calls)
    return max(
        sum(start <= other < start + timedelta(seconds=takes) for other in starts if other >= start)
        for start in starts
    )


@in_a_world
async def test_one_run_waits_and_what_falls_due_meanwhile_is_one_with_it(world: World) -> None:
    world.handler(takes=25.0)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="queue")
    await world.clock.sleep(92)
    assert world.offsets("a") == [pytest.approx(at, abs=0.1) for at in (10, 35, 60, 85)]
    folded = [(record.status, record.number) for record in world.left_out]
    assert folded == [(ExecutionStatus.COALESCED, 1), (ExecutionStatus.COALESCED, 2), (ExecutionStatus.COALESCED, 1)]
    assert world.told(HandedBack) == [], "it waits in the replica that runs what it waits for"


@in_a_world
async def test_a_queued_run_starts_at_the_very_end_of_the_one_before_it(world: World) -> None:
    world.handler(takes=12.0)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="queue")
    await world.clock.sleep(60)
    starts = world.offsets("a")
    assert all(later - earlier == pytest.approx(12, abs=0.01) for earlier, later in pairwise(starts))


@in_a_world
async def test_a_queue_goes_on_after_the_death_of_the_replica_it_waited_in(world: World) -> None:
    world.handler(takes=25.0)
    first = await world.start("r1")
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="queue")
    await world.clock.sleep(22)
    await world.start("r2")
    first.kill()
    await world.clock.sleep(100)
    assert most_at_once(world, 25.0) <= 2, "the run of the dead one and its takeover"
    assert len({call.execution_id for call in world.calls}) >= 4
    assert world.calls[-1].replica == "r2"


@in_a_world
async def test_a_queue_is_handed_back_at_a_shutdown(world: World) -> None:
    world.handler(takes=25.0)
    first = await world.start("r1", shutdown_grace=timedelta(seconds=60))
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="queue")
    await world.clock.sleep(22)
    await world.start("r2")
    first.replica.stop()
    await world.clock.sleep(30)
    assert [call.replica for call in world.calls] == ["r1", "r2"]
    assert world.calls[1].started_at - world.calls[0].started_at < timedelta(seconds=31)


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_no_more_than_so_many_run_at_once_in_the_whole_cluster(overlap: Overlap) -> None:
    @in_a_world
    async def run(world: World) -> None:
        world.handler(takes=35.0)
        await world.start("r1")
        await world.start("r2")
        await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap=overlap, max_concurrency=3)
        await world.clock.sleep(101)
        assert most_at_once(world, 35.0) == 3
        skipped = [record for record in world.left_out if record.status is ExecutionStatus.SKIPPED]
        assert {record.reason for record in skipped} == {"3 runs before it have not ended"}
        assert len(world.calls) + len(skipped) == 10

    run()


@in_a_world
async def test_under_all_what_was_missed_runs_without_a_pause_between(world: World) -> None:
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="all")
    await world.clock.sleep(105)
    world.handler(takes=0.5)
    await world.start()
    await world.clock.sleep(10)
    starts = world.offsets("a")[:10]
    assert starts[-1] - starts[0] == pytest.approx(9 * 0.5, abs=0.2)


@in_a_world
async def test_a_trigger_waits_for_the_run_before_it_to_its_very_end(world: World) -> None:
    world.handler(takes=7.3)
    await world.start()
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(4)
    await world.client.trigger_job("a")
    await world.clock.sleep(20)
    assert world.offsets("a") == [2.0, pytest.approx(9.3, abs=0.02)]


@in_a_world
async def test_hints_that_wait_for_one_instant_do_not_begin_before_it_and_wait_again(world: World) -> None:
    """Each that begins early reads and decides anew: at an instant that many wait for that would go on and on."""
    world.handler(takes=25.0)
    await world.start()
    for name in ("a", "b", "c"):
        await world.client.ensure_job(name, Interval(seconds=10), handler="h")
    reads = 0
    read_many = world.backend.jobs.read_many

    async def counted(jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        nonlocal reads
        reads += 1
        return await read_many(jobs)

    world.backend.jobs.read_many = counted  # type: ignore[method-assign]
    with anyio.fail_after(60):
        await world.clock.sleep(45)
    assert world.offsets("a") == world.offsets("b") == world.offsets("c") == [10.0, 40.0]
    assert reads < 30
