"""Replicas of two versions side by side: what one says the other reads, and what it cannot read it leaves to it."""

import json
from datetime import timedelta
from pathlib import Path

from natsched.core.chains import After
from natsched.core.jobs import LeaseId
from natsched.core.schedules import Interval
from natsched.daemon.events import Quarantined
from natsched.protocol.leases import Living, replicas, serving, zone_data
from natsched.protocol.telling import LEASES
from tests.daemon.harness import World, in_a_world

GOLDEN = Path(__file__).parents[1] / "core" / "golden" / "lease.v1.json"


@in_a_world
async def test_a_lease_of_version_1_is_read_today(world: World) -> None:
    await world.backend.locks.create("lease.r1.1", GOLDEN.read_bytes(), ttl=world.options.lease_ttl)
    (found,) = await replicas(world.backend.locks)
    assert found == Living(
        lease=LeaseId("lease.r1.1"),
        name="r1",
        is_primary=False,
        queues={"default": 1000, "mail": 5},
        running={"default": 3, "mail": 0},
        natsched="0.1.0",
        tzdata="2026.1",
    )
    assert await serving(world.backend.locks, "mail") == {LeaseId("lease.r1.1")}
    assert await zone_data(world.backend.locks) == {"2026.1": ("r1",)}


@in_a_world
async def test_a_lease_of_today_says_what_version_1_reads(world: World) -> None:
    await world.start()
    (said,) = (json.loads(value) for value in (await world.backend.locks.list(LEASES)).values())
    assert said.keys() >= json.loads(GOLDEN.read_bytes()).keys()


NO_SWEEP = timedelta(hours=1)


async def _of_version(world: World, job: str, version: int) -> None:
    """Write a job's document as a replica of another version does."""
    stored = world.backend.streams.jobs.last(job)
    assert stored is not None
    document = {**json.loads(stored.data), "v": version}
    world.backend.streams.jobs.put(job, json.dumps(document, separators=(",", ":")).encode())


@in_a_world
async def test_a_run_of_a_job_of_a_newer_version_waits_for_a_replica_that_can_read_it(world: World) -> None:
    world.handler()
    await world.start(reconciler_interval=NO_SWEEP)
    await world.client.ensure_job("a", Interval(seconds=20), handler="h")
    await _of_version(world, "a", 2)
    await world.clock.sleep(30)
    assert not world.calls
    assert {event.job for event in world.told(Quarantined)} == {"a"}
    await _of_version(world, "a", 1)  # as it is to a newer replica
    await world.clock.sleep(5)
    assert len(world.calls) == 1


@in_a_world
async def test_a_job_of_a_newer_version_runs_after_the_end_of_another(world: World) -> None:
    world.handler()
    await world.start(reconciler_interval=NO_SWEEP)
    await world.client.ensure_job("a", Interval(hours=1), handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    await _of_version(world, "b", 2)
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert [call.job_id for call in world.calls] == ["a"]
    await _of_version(world, "b", 1)
    await world.clock.sleep(5)
    assert [call.job_id for call in world.calls] == ["a", "b"]


@in_a_world
async def test_a_job_that_nobody_can_read_keeps_no_end_for_ever(world: World) -> None:
    world.handler()
    await world.start(reconciler_interval=NO_SWEEP)
    await world.client.ensure_job("a", Interval(hours=1), handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    await _of_version(world, "b", 2)
    await world.client.trigger_job("a")
    await world.clock.sleep(90)
    status = (await world.client.get_job("a")).document.status
    assert (status.handovers, status.followers) == ({}, ("b",))


@in_a_world
async def test_a_run_whose_document_became_newer_is_finished_from_its_record_while_its_replica_lives(
    world: World,
) -> None:
    world.handler(takes=6.0)
    older = await world.start("older", reconciler_interval=NO_SWEEP)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(12)
    await world.start("newer", reconciler_interval=NO_SWEEP)
    older.replica.serve({"another": 1})
    await _of_version(world, "a", 2)
    await world.clock.sleep(6)
    await _of_version(world, "a", 1)
    await world.clock.sleep(65)
    assert world.offsets("a")[-3:] == [60, 70, 80]
    assert len({call.execution_id for call in world.calls}) == len(world.calls)


@in_a_world
async def test_a_replica_starts_although_a_job_that_it_declares_or_one_before_it_cannot_be_read(world: World) -> None:
    world.handler()
    world.registry.job("a", Interval(seconds=10))(world.registry.handlers["h"])
    world.registry.job("b", After("up"))(world.registry.handlers["h"])
    world.registry.job("c", Interval(seconds=10))(world.registry.handlers["h"])
    await world.client.ensure_job("a", Interval(seconds=20), handler="h")
    await world.client.ensure_job("up", Interval(hours=1), handler="h")
    for job in ("a", "up"):
        await _of_version(world, job, 2)
    await world.start(reconciler_interval=NO_SWEEP)
    assert [event.job for event in world.told(Quarantined)] == ["a", "b"]
    await world.clock.sleep(15)
    assert [call.job_id for call in world.calls] == ["c"]


@in_a_world
async def test_a_notice_of_a_newer_version_waits_for_a_replica_that_can_read_it(world: World) -> None:
    golden = json.loads((GOLDEN.parent / "notice.v1.json").read_bytes())
    outbox = world.backend.streams.hints
    outbox.append("scheduler.webhook.x", json.dumps({**golden, "v": 2}).encode())
    await world.start()
    await world.clock.sleep(60)
    assert [one.subject for one in outbox.oldest()] == ["scheduler.webhook.x"]
    await world.clock.sleep(3600)
    assert not list(outbox.oldest())
