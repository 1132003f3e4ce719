"""Where runs take place: on every replica, on the primary one, one at a time of a group, by priority."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Priority, Running
from natsched.core.schedules import Interval, Once
from natsched.errors import Unavailable
from natsched.protocol.groups import Groups
from natsched.targets.context import Context
from tests.daemon.harness import World, in_a_world


@in_a_world
async def test_every_replica_of_the_queue_runs_it_on_time_each_with_its_record(world: World) -> None:
    world.handler()
    for name in ("r1", "r2", "r3"):
        await world.start(name)
    await world.start("other", queues={"other": 10})
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", scope="all")
    await world.clock.sleep(35)
    assert Counter(call.replica for call in world.calls) == {"r1": 3, "r2": 3, "r3": 3}
    assert max(start.lag for start in world.starts) < 0.05
    records = await world.client.executions("a")
    assert len(records) == 9
    assert len({record.execution for record in records}) == 9
    assert {(record.status, record.attempt) for record in records} == {(ExecutionStatus.OK, 1)}
    view = await world.client.get_job("a")
    assert (view.running, view.runs, view.counts) == ((), 3, {ExecutionStatus.OK: 9})
    assert sum(call.is_primary for call in world.calls) == 3


@in_a_world
async def test_no_run_waits_for_parts_that_others_ended_long_ago(world: World) -> None:
    world.handler(takes=0.5)
    for name in ("r1", "r2", "r3"):
        await world.start(name)
    for catch_up in ("latest", "all"):
        await world.client.ensure_job(
            catch_up, Interval(seconds=10), handler="h", scope="all", overlap="queue", catch_up=catch_up
        )
    await world.clock.sleep(125)
    assert len(world.starts) == 2 * 3 * 12
    assert max(start.lag for start in world.starts) < 0.05


@in_a_world
async def test_a_replica_that_dies_takes_its_part_with_it_and_no_other(world: World) -> None:
    world.handler(takes=8.0)
    await world.start("r1")
    dying = await world.start("r2")
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", scope="all", overlap="allow")
    await world.clock.sleep(12)
    dying.kill()
    await world.clock.sleep(50)
    ended = Counter((record.replica, record.status) for record in await world.client.executions("a"))
    assert ended[None, ExecutionStatus.LOST] == 1
    assert ended["r1", ExecutionStatus.OK] == 5
    assert all(call.attempt == 1 for call in world.calls)


@in_a_world
async def test_a_part_is_run_by_no_other_replica_also_if_every_one_is_no_longer_to_run_it(world: World) -> None:
    world.handler(takes=8.0)
    members = {name: await world.start(name) for name in ("r1", "r2")}
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", scope="all", overlap="allow")
    await world.clock.sleep(12)
    await world.client.ensure_job("a", Interval(seconds=60), handler="h", overlap="allow")
    members.pop(world.calls[0].replica).kill()  # it made the claim: its part is named as a run of one replica is
    await world.clock.sleep(40)
    assert Counter(call.replica for call in world.calls) == {"r1": 1, "r2": 1}


@in_a_world
async def test_a_part_that_failed_is_tried_again_by_the_replica_whose_part_it_is(world: World) -> None:
    world.handler(fails=ValueError("no"))
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job(
        "a", Interval(seconds=60), handler="h", scope="all", retry={"max_attempts": 3, "base": 1}
    )
    await world.clock.sleep(100)
    attempts = Counter((call.replica, call.attempt) for call in world.calls)
    assert attempts == {(replica, attempt): 1 for replica in ("r1", "r2") for attempt in (1, 2, 3)}


@in_a_world
async def test_all_may_be_triggered_and_cancelled_part_by_part(world: World) -> None:
    world.handler(takes=1000.0)
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all")
    await world.client.trigger_job("a")
    await world.clock.sleep(1)
    running = (await world.client.get_job("a")).running
    assert len(running) == 2
    for execution in running:
        record = await (await world.client.cancel_execution("a", execution))
        assert record.status is ExecutionStatus.CANCELLED
    await world.clock.sleep(0.1)
    assert (await world.client.get_job("a")).running == ()


@in_a_world
async def test_a_part_waits_for_a_word_that_was_lost_until_the_sweep(world: World) -> None:
    world.handler()
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all")
    put = world.backend.locks.put

    async def lost(key: str, value: bytes, *, ttl: timedelta) -> None:
        if not key.startswith("control"):
            await put(key, value, ttl=ttl)

    world.backend.locks.put = lost  # type: ignore[method-assign]
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert len(world.calls) == 1
    world.backend.locks.put = put  # type: ignore[method-assign]
    await world.clock.sleep(60)
    assert sorted(call.replica for call in world.calls) == ["r1", "r2"]
    assert (await world.client.get_job("a")).running == ()


@in_a_world
async def test_only_the_primary_runs_it_and_when_it_dies_the_next_one(world: World) -> None:
    world.handler(takes=1.0)
    members = {name: await world.start(name) for name in ("r1", "r2", "r3")}
    await world.client.ensure_job("a", Interval(seconds=5), handler="h", primary_only=True)
    await world.clock.sleep(31)
    assert len(world.calls) == 6
    (primary,) = {call.replica for call in world.calls}
    assert all(call.is_primary for call in world.calls)
    members[primary].kill()
    await world.clock.sleep(60)
    later = {call.replica for call in world.calls[6:]}
    assert len(later) == 1
    assert primary not in later
    assert len(world.calls) >= 6 + 9


@in_a_world
async def test_a_run_of_the_primary_that_died_is_taken_over_by_the_next_one(world: World) -> None:
    world.handler(takes=100.0)
    members = {name: await world.start(name) for name in ("r1", "r2", "r3")}
    await world.client.ensure_job("a", Interval(seconds=300), handler="h", primary_only=True)
    await world.clock.sleep(310)
    (first,) = world.calls
    members[first.replica].kill()
    await world.clock.sleep(150)
    (_, second) = world.calls
    assert (second.execution_id, second.attempt, second.is_primary) == (first.execution_id, 2, True)
    assert (await world.client.executions("a", first.execution_id))[0].status is ExecutionStatus.OK


@in_a_world
async def test_of_a_group_one_runs_at_a_time_over_all_jobs_and_replicas(world: World) -> None:
    world.handler(takes=3.0)
    await world.start("r1")
    await world.start("r2")
    for name in ("a", "b", "c"):
        await world.client.ensure_job(name, Interval(seconds=20), handler="h", concurrency_key="db.main")
    await world.clock.sleep(100)
    starts = sorted(call.started_at for call in world.calls)
    assert len(starts) == 3 * 4 + 1 or len(starts) == 3 * 4 + 2
    assert min((b - a).total_seconds() for a, b in pairwise(starts)) >= 3.0
    assert Counter(call.job_id for call in world.calls).keys() == {"a", "b", "c"}


@in_a_world
async def test_the_group_of_a_replica_that_died_is_free_when_its_lease_is_over(world: World) -> None:
    world.handler(takes=1000.0)
    world.handler("short")
    dying = await world.start("r1")
    await world.client.ensure_job("a", Interval(days=9), handler="h", concurrency_key="g", max_crashes=0)
    await world.client.ensure_job("b", Interval(days=9), handler="short", concurrency_key="g")
    await world.client.trigger_job("a")
    await world.clock.sleep(2)
    dying.kill()
    await world.start("r2")
    record = await (await world.client.trigger_job("b")).wait(timeout=20)
    assert record.status is ExecutionStatus.OK


@in_a_world
async def test_a_group_that_was_not_given_back_is_free_once_its_execution_ended(world: World) -> None:
    world.handler()
    await world.start("r1")
    for name in ("a", "b"):
        await world.client.ensure_job(name, Interval(days=9), handler="h", concurrency_key="g")
    release = world.backend.locks.release

    async def lost(*args: object) -> None:
        await world.clock.sleep(0)

    world.backend.locks.release = lost  # type: ignore[method-assign, assignment]
    await (await world.client.trigger_job("a"))
    await world.clock.sleep(1)
    world.backend.locks.release = release  # type: ignore[method-assign]
    assert (await (await world.client.trigger_job("b")).wait(timeout=1)).status is ExecutionStatus.OK


@in_a_world
async def test_a_replica_that_is_late_for_the_same_run_does_not_free_its_group(world: World) -> None:
    world.handler(takes=10.0)
    await world.start("r1")
    await world.client.ensure_job("a", Interval(days=9), handler="h", concurrency_key="g")
    handle = await world.client.trigger_job("a")
    await world.clock.sleep(2)
    other = await world.backend.locks.create("lease.r2.X", b"{}", ttl=timedelta(hours=1))
    groups = Groups(world.backend, world.clock)
    execution, lease = ExecutionId(handle.execution_id), LeaseId(other.key)
    assert await groups.enter("g", JobId("a"), execution, lease) is None
    await handle
    assert await groups.enter("g", JobId("a"), execution, lease) is not None


@in_a_world
async def test_those_of_higher_priority_get_a_place_first(world: World) -> None:
    world.handler(takes=1.0)
    await world.start("r1", queues={"default": 1}, spill_after=timedelta(seconds=60))
    at = world.clock.now() + timedelta(seconds=5)
    order: tuple[Priority, ...] = ("low", "normal", "high")
    await world.client.submit_job("first", Once(at - timedelta(seconds=0.5)), handler="h")
    for priority in order:
        for number in (1, 2):
            await world.client.submit_job(f"{priority}.{number}", Once(at), handler="h", priority=priority)
    await world.clock.sleep(20)
    ran = [call.job_id.split(".")[0] for call in world.calls]
    assert ran == ["first", "high", "high", "normal", "normal", "low", "low"]


@pytest.mark.parametrize("takes", [0.0, 4.0])
def test_all_and_at_most_once_go_together(takes: float) -> None:
    @in_a_world
    async def run(world: World) -> None:
        world.handler(takes=takes)
        await world.start("r1")
        await world.start("r2")
        await world.client.ensure_job(
            "a", Interval(seconds=10), handler="h", scope="all", delivery="at_most_once", overlap="allow"
        )
        await world.clock.sleep(35)
        assert Counter(call.replica for call in world.calls) == {"r1": 3, "r2": 3}

    run()


@in_a_world
async def test_words_that_cannot_be_said_take_nothing_from_the_part_and_the_plan_of_who_says_them(
    world: World,
) -> None:
    world.handler()
    await world.start("r1")
    await world.start("r2")
    put = world.backend.locks.put

    async def refused(key: str, value: bytes, *, ttl: timedelta) -> None:
        if key.startswith("control"):
            raise Unavailable("no answer")
        await put(key, value, ttl=ttl)

    world.backend.locks.put = refused  # type: ignore[method-assign]
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", scope="all", overlap="allow")
    await world.clock.sleep(25)
    assert world.offsets("a") == [pytest.approx(at, abs=0.05) for at in (10, 20)]
    assert {record.status for record in world.ends} == {ExecutionStatus.OK}
    assert not world.left_out


@in_a_world
async def test_a_part_that_is_tried_again_by_hand_runs_once_and_leaves_the_others_alone(world: World) -> None:
    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        world.calls.append(ctx)
        if ctx.attempt == 1 and ctx.replica == "r1":
            raise ValueError("no")
        await world.clock.sleep(20)

    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all")
    await world.client.trigger_job("a")
    await world.clock.sleep(2)
    (failed,) = [record for record in world.ends if record.replica == "r1"]
    await world.client.retry_execution("a", failed.execution)
    await world.clock.sleep(100)
    assert len(world.calls) == 3
    assert sorted((record.attempt, record.status) for record in world.ends) == [
        (1, ExecutionStatus.FAILED),
        (1, ExecutionStatus.OK),
        (2, ExecutionStatus.OK),
    ]
    assert (await world.client.get_job("a")).running == ()


async def _running(world: World, job: str) -> dict[ExecutionId, Running]:
    stored = await world.backend.jobs.read(JobId(job))
    assert isinstance(stored.job, Job)
    return dict(stored.job.status.running)


@in_a_world
async def test_a_run_of_a_primary_that_shuts_down_goes_on_at_the_next_one_within_seconds(world: World) -> None:
    world.handler(takes=20.0)
    options: dict[str, Any] = {"shutdown_grace": timedelta(seconds=1), "reconciler_interval": timedelta(hours=1)}
    first = await world.start("r1", **options)
    await world.clock.sleep(1)
    await world.start("r2", **options)
    await world.client.ensure_job("a", Interval(days=9), handler="h", primary_only=True)
    while True:  # until the one that claims it is not the one that runs it
        await world.client.trigger_job("a")
        await world.clock.sleep(1)
        if any(entry.assigned for entry in (await _running(world, "a")).values()):
            break
        await world.clock.sleep(20)
    del world.calls[:-1]
    first.replica.stop()
    await world.clock.sleep(10)
    assert [(call.replica, call.attempt) for call in world.calls] == [("r1", 1), ("r2", 2)]


@in_a_world
async def test_what_is_given_to_a_replica_that_shuts_down_is_declined(world: World) -> None:
    world.handler(takes=8.0)
    stopping = await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("long", Interval(days=9), handler="h", scope="all")
    await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all")
    await world.client.trigger_job("long")
    await world.clock.sleep(1)
    stopping.replica.stop()
    await world.clock.sleep(1)
    await world.client.trigger_job("a")
    await world.clock.sleep(2)
    (declined,) = [record for record in world.ends if record.job == "a"]
    assert (declined.status, declined.replica) == (ExecutionStatus.CANCELLED, "r1")
    assert declined.reason == "its replica shut down"
    await world.clock.sleep(120)
    counts = (await world.client.get_job("a")).counts
    assert counts == {ExecutionStatus.OK: 1, ExecutionStatus.CANCELLED: 1}


@in_a_world
async def test_a_part_that_is_cancelled_before_its_replica_hears_of_it_is_not_run(world: World) -> None:
    world.handler(takes=8.0)
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all")
    put = world.backend.locks.put

    async def lost(key: str, value: bytes, *, ttl: timedelta) -> None:
        if not key.startswith("control"):
            await put(key, value, ttl=ttl)

    world.backend.locks.put = lost  # type: ignore[method-assign]
    await world.client.trigger_job("a")
    await world.clock.sleep(1)
    world.backend.locks.put = put  # type: ignore[method-assign]
    (part,) = [execution for execution, entry in (await _running(world, "a")).items() if entry.assigned]
    record = await (await world.client.cancel_execution("a", part)).wait(5)
    assert (record.status, len(world.calls)) == (ExecutionStatus.CANCELLED, 1)


@in_a_world
async def test_a_part_whose_replica_does_not_serve_the_queue_any_more_fails_and_says_so(world: World) -> None:
    world.handler()
    await world.start("r1")
    await world.start("r2")
    await world.start("other", queues={"other": 10})
    await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all")
    put = world.backend.locks.put

    async def late(key: str, value: bytes, *, ttl: timedelta) -> None:
        if key.startswith("control"):
            world.backend.locks.put = put  # type: ignore[method-assign]
            await world.client.ensure_job("a", Interval(days=9), handler="h", scope="all", queue="other")
        await put(key, value, ttl=ttl)

    world.backend.locks.put = late  # type: ignore[method-assign]
    await world.client.trigger_job("a")
    await world.clock.sleep(1)
    assert await _running(world, "a") == {}
    assert {record.error for record in world.ends} == {None, "its replica does not serve the queue 'other'"}


@in_a_world
async def test_in_a_queue_that_stays_full_no_place_stands_idle_and_priority_holds(world: World) -> None:
    world.handler(takes=1.5)
    await world.start("r1", queues={"default": 1})
    order: tuple[Priority, ...] = ("low", "normal", "high")
    for priority in order:
        for number in (1, 2):
            name = f"{priority}.{number}"
            await world.client.ensure_job(name, Interval(days=9), handler="h", priority=priority)
    await world.client.ensure_job("first", Interval(days=9), handler="h")
    await world.client.trigger_job("first")
    await world.clock.sleep(0.1)
    for name in ("low.1", "low.2", "normal.1", "normal.2", "high.1", "high.2"):
        await world.client.trigger_job(name)
    await world.clock.sleep(20)
    starts = [call.started_at for call in world.calls]
    assert len(starts) == 7
    assert (starts[-1] - starts[0]).total_seconds() < 7 * 1.5 + 0.5, "places stood idle"
    ran = [call.job_id.split(".")[0] for call in world.calls]
    assert ran.index("low") > max(number for number, name in enumerate(ran) if name == "high")
