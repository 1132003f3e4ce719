"""Replicas that die, hang, lose their lease or shut down; outages; documents that cannot be read."""

from datetime import timedelta

from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Cron, Interval, Once
from natsched.daemon.events import HandedBack, LeaseLost, Quarantined, Repaired, ZonesDiffer
from natsched.errors import Unavailable
from tests.daemon.harness import World, in_a_world


@in_a_world
async def test_a_killed_replicas_run_is_taken_over_within_a_lease(world: World) -> None:
    world.handler(takes=60.0)
    victim = await world.start("r1")
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(3)
    assert [call.attempt for call in world.calls] == [1]
    await world.start("r2")
    victim.kill()
    await world.clock.sleep(12)
    assert [(call.attempt, call.replica) for call in world.calls] == [(1, "r1"), (2, "r2")]
    assert world.calls[0].execution_id == world.calls[1].execution_id


@in_a_world
async def test_a_killed_replica_costs_other_jobs_at_most_its_lease(world: World) -> None:
    world.handler()
    victim = await world.start("r1")
    await world.start("r2")
    for number in range(10):
        await world.client.ensure_job(f"j.{number}", Interval(seconds=2), handler="h", catch_up="all")
    await world.clock.sleep(11)
    victim.kill()
    await world.clock.sleep(30)
    for number in range(10):
        runs = [call.due for call in world.calls if call.job_id == f"j.{number}"]
        assert len(set(runs)) == len(runs) == 20
    assert max(start.lag for start in world.starts) < 11


@in_a_world
async def test_at_most_once_is_lost_and_never_run_again(world: World) -> None:
    world.handler(takes=60.0)
    victim = await world.start("r1")
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h", delivery="at_most_once")
    await world.clock.sleep(3)
    await world.start("r2", reconciler_interval=timedelta(seconds=5), reconciler_grace=timedelta(seconds=5))
    victim.kill()
    await world.clock.sleep(40)
    assert len(world.calls) == 1
    (record,) = [one for one in await world.client.executions("a") if one.attempt]
    assert record.status is ExecutionStatus.LOST
    assert (await world.client.get_job("a")).state == "completed"


@in_a_world
async def test_an_execution_that_kills_its_replicas_is_given_up(world: World) -> None:
    world.handler(takes=60.0)
    member = await world.start("r0")
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h", max_crashes=1)
    for number in range(3):
        await world.clock.sleep(8)
        member.kill()
        member = await world.start(f"r{number + 1}")
    await world.clock.sleep(20)
    assert [call.attempt for call in world.calls] == [1, 2]
    assert (await world.client.executions("a"))[0].status is ExecutionStatus.DEAD


@in_a_world
async def test_shutdown_lets_runs_end_and_hands_back_the_rest(world: World) -> None:
    world.handler("short", takes=3.0)
    world.handler("long", takes=50.0)
    first = await world.start("r1", shutdown_grace=timedelta(seconds=10))
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("short", Once(at), handler="short")
    await world.client.submit_job("long", Once(at), handler="long")
    await world.clock.sleep(3)
    first.replica.stop()
    await world.start("r2")
    await world.clock.sleep(90)
    shorts = [call for call in world.calls if call.job_id == "short"]
    longs = [(call.attempt, call.replica) for call in world.calls if call.job_id == "long"]
    assert len(shorts) == 1
    assert longs == [(1, "r1"), (2, "r2")]
    by_attempt = {record.attempt: record.status for record in await world.client.executions("long")}
    assert by_attempt == {1: ExecutionStatus.INTERRUPTED, 2: ExecutionStatus.OK}
    took_over = next(start for start in world.starts if start.job == "long" and start.attempt == 2)
    assert took_over.lag < 12


@in_a_world
async def test_a_second_stop_does_not_wait_for_the_grace(world: World) -> None:
    world.handler(takes=50.0)
    member = await world.start("r1", shutdown_grace=timedelta(seconds=30))
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(3)
    member.replica.stop()
    await world.clock.sleep(1)
    member.replica.stop()
    await world.clock.sleep(1)
    assert [record.status for record in world.ends] == [ExecutionStatus.INTERRUPTED]


@in_a_world
async def test_a_lost_lease_stops_the_runs_and_they_go_on_elsewhere(world: World) -> None:
    world.handler(takes=40.0)
    await world.start("r1")
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(3)
    renew = world.backend.locks.renew

    async def unavailable(*_: object, **__: object) -> None:
        raise Unavailable

    world.backend.locks.renew = unavailable  # type: ignore[assignment, method-assign]
    await world.clock.sleep(6)
    assert len(world.told(LeaseLost)) == 1
    world.backend.locks.renew = renew  # type: ignore[method-assign]
    await world.clock.sleep(60)
    assert [call.attempt for call in world.calls] == [1, 2]
    assert [record.status for record in world.ends] == [ExecutionStatus.OK]


@in_a_world
async def test_everything_down_for_a_while_runs_the_last_missed_instant(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(95)
    await world.start()
    await world.clock.sleep(10)
    assert [round(call.lag) for call in world.calls] == [5, 0]
    (coalesced,) = [one for one in world.left_out if one.status is ExecutionStatus.COALESCED]
    assert coalesced.number == 8


@in_a_world
async def test_everything_down_for_a_while_makes_up_for_all_in_order(world: World) -> None:
    world.handler(takes=0.5)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="all", catch_up_limit=4)
    await world.clock.sleep(95)
    await world.start()
    await world.clock.sleep(14)
    epoch = world.clock.now() - timedelta(seconds=world.clock.monotonic())
    dues = [(call.due - epoch).total_seconds() for call in world.calls]
    assert dues == [60.0, 70.0, 80.0, 90.0, 100.0]
    (missed,) = [one for one in world.left_out if one.status is ExecutionStatus.MISSED]
    assert missed.number == 5


@in_a_world
async def test_everything_down_for_a_while_misses_what_may_not_be_late(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Cron("0 * * * * *"), handler="h", catch_up="none", tolerance=10)
    await world.clock.sleep(60 * 3 + 30)
    await world.start()
    await world.clock.sleep(60)
    assert world.offsets("a") == [240.0]
    (missed,) = [one for one in world.left_out if one.status is ExecutionStatus.MISSED]
    assert missed.number == 3


@in_a_world
async def test_a_lost_hint_is_published_again_by_the_sweep(world: World) -> None:
    world.handler()
    await world.start(reconciler_interval=timedelta(seconds=5), reconciler_grace=timedelta(seconds=5))
    await world.client.ensure_job("a", Interval(seconds=60), handler="h")
    async for chunk in world.backend.hints.walk():
        for pending in chunk:
            await world.backend.hints.delete(pending.seq)
    await world.clock.sleep(61)
    assert world.offsets("a") == [60.0]
    assert [event.job for event in world.told(Repaired)] == ["a"]


@in_a_world
async def test_a_document_that_cannot_be_read_is_left_alone(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=5), handler="h")
    await world.client.ensure_job("b", Interval(seconds=5), handler="h")
    await world.start()
    stream = world.backend.streams.jobs
    stream.put("a", b'{"v": 9}')
    await world.clock.sleep(11)
    assert world.offsets("a") == []
    assert world.offsets("b") == [5.0, 10.0]
    assert {event.job for event in world.told(Quarantined)} == {"a"}


@in_a_world
async def test_a_job_whose_handler_comes_with_the_next_deploy_waits_for_it(world: World) -> None:
    await world.start("old")
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="new")
    await world.clock.sleep(20)
    assert world.calls == []
    assert any("no handler 'new' here" in event.reason for event in world.told(HandedBack))
    world.handler("new")
    await world.clock.sleep(10)
    assert len(world.calls) == 1


@in_a_world
async def test_replicas_that_differ_in_their_zone_data_are_told_of(world: World) -> None:
    await world.start("r1")
    await world.clock.sleep(1)
    assert world.told(ZonesDiffer) == []
    about = b'{"replica": "old", "tzdata": "2019.1"}'
    await world.backend.locks.create("lease.old.1", about, ttl=timedelta(hours=1))
    await world.clock.sleep(31)
    assert world.told(ZonesDiffer)[0].replicas["2019.1"] == ("old",)
