"""What was not run in time: caught up with, given up, or asked for afterwards; and always told of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from natsched.core.backoff import RetryPolicy
from natsched.core.endings import record_of_none
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job, JobId, Stored
from natsched.core.planning import gap_of
from natsched.core.schedules import Interval, Once
from natsched.errors import Conflict, ExecutionFailed, InvalidJob
from natsched.targets.context import Context
from tests.daemon.harness import World, in_a_world

S = ExecutionStatus


def epoch(world: World) -> datetime:
    return world.clock.now() - timedelta(seconds=world.clock.monotonic())


def dues(world: World) -> list[float]:
    """Return the dues of the calls, in seconds from the beginning of time."""
    return [(call.due - epoch(world)).total_seconds() for call in world.calls]


def told(world: World) -> list[tuple[S, int]]:
    return [(record.status, record.number) for record in world.left_out]


def lose_a_write(world: World, which: Callable[[Job], bool]) -> None:
    """Have the first such write take 20 s and come too late."""
    write, lost = world.backend.jobs.write, list[Job]()

    async def write_late(job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        if lost or not which(job):
            return await write(job, expected=expected, ttl=ttl)
        lost.append(job)
        await world.clock.sleep(20)
        raise Conflict("somebody else was faster")

    world.backend.jobs.write = write_late  # type: ignore[method-assign]


# Catching up


@in_a_world
async def test_earliest_runs_the_first_missed_instant_and_no_update_runs_the_others(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="earliest")
    await world.clock.sleep(95)
    await world.start()
    await world.clock.sleep(1)
    await world.client.ensure_job("a", Interval(seconds=20), handler="h", catch_up="earliest")
    await world.client.pause_job("a")
    await world.client.resume_job("a")
    await world.clock.sleep(5)
    assert (dues(world), told(world)) == ([10.0, 100.0], [(S.COALESCED, 8)])
    (record,) = await world.client.executions("a", missed=True)
    assert (record.status, record.reason) == (S.COALESCED, "an earlier instant runs for it")


@in_a_world
async def test_a_window_gives_up_what_is_older_and_catches_up_with_the_rest(world: World) -> None:
    world.handler()
    for policy in ("latest", "earliest", "all"):
        options = {"handler": "h", "catch_up": policy, "catch_up_window": timedelta(seconds=30)}
        await world.client.ensure_job(policy, Interval(seconds=10), **options)  # type: ignore[arg-type]
    await world.clock.sleep(95)
    await world.start()
    await world.clock.sleep(3)
    runs = {
        policy: [(call.due - epoch(world)).total_seconds() for call in world.calls if call.job_id == policy]
        for policy in ("latest", "earliest", "all")
    }
    assert runs == {"latest": [90.0], "earliest": [70.0], "all": [70.0, 80.0, 90.0]}
    missed = [record for record in world.left_out if record.status is S.MISSED]
    assert [(record.number, record.reason) for record in missed] == [(6, "older than its catch-up window")] * 3


# Deadlines


@in_a_world
async def test_what_is_past_its_deadline_does_not_run_and_is_told_of_whatever_is_kept(world: World) -> None:
    world.handler()
    options = {"handler": "h", "deadline": 20, "history": "none"}
    await world.client.ensure_job("a", Interval(seconds=30), **options)  # type: ignore[arg-type]
    await world.clock.sleep(55)
    await world.start()
    await world.clock.sleep(10)
    assert (dues(world), told(world)) == ([60.0], [(S.EXPIRED, 1)])
    assert await world.client.executions("a", missed=True) == []
    assert (await world.client.get_job("a")).counts[S.EXPIRED] == 1


@in_a_world
async def test_a_run_asked_for_by_hand_that_nobody_ran_in_time_expires_and_its_handle_says_so(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(hours=1), handler="h", deadline=20, history="none")
    handle = await world.client.trigger_job("a", {"by": "hand"})
    await world.clock.sleep(21)
    await world.start()
    record = await handle.wait(10)
    assert (record.status, record.attempt, record.manual) == (S.EXPIRED, 0, True)
    assert (record.payload, world.calls) == ({"by": "hand"}, [])
    assert (await world.client.get_job("a")).document.status.manual == {}


@in_a_world
async def test_the_deadline_cuts_a_run_short_and_the_handler_knows_when(world: World) -> None:
    world.handler(takes=60)
    await world.start()
    for job, timeout in (("cut", 40), ("both", 5), ("free", None)):
        at = world.clock.now() + timedelta(seconds=2)
        deadline = None if job == "free" else 8
        await world.client.submit_job(job, Once(at), handler="h", timeout=timeout, deadline=deadline)
    await world.clock.sleep(70)
    ends = {record.job: (record.status, record.duration, record.error) for record in world.ends}
    assert ends == {
        "cut": (S.TIMED_OUT, 8.0, "its deadline passed: it ran for 8 s"),
        "both": (S.TIMED_OUT, 5.0, "it ran longer than 5 s"),
        "free": (S.OK, 60.0, None),
    }
    known = {call.job_id: call.deadline and (call.deadline - call.due).total_seconds() for call in world.calls}
    assert known == {"cut": 8.0, "both": 5.0, "free": None}


@in_a_world
async def test_no_retry_is_planned_that_would_start_after_the_deadline(world: World) -> None:
    world.handler(fails=ValueError("no"))
    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    policy = RetryPolicy(max_attempts=9, backoff="fixed", base=10, jitter=0)
    await world.client.submit_job("a", Once(at), handler="h", retry=policy, deadline=25)
    await world.clock.sleep(60)
    assert world.offsets("a") == [2.0, 12.0, 22.0]
    records = await world.client.executions("a")
    assert [record.status for record in records] == [S.DEAD, S.RETRYING, S.RETRYING]
    assert records[0].reason == "its deadline would have passed"
    await world.client.retry_execution("a", records[0].execution)
    await world.clock.sleep(1)
    assert [call.deadline is None for call in world.calls] == [False, False, False, True]


@in_a_world
async def test_a_retry_that_nobody_claims_in_time_ends_without_a_call(world: World) -> None:
    world.handler(fails=ValueError("no"))
    member = await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    policy = RetryPolicy(max_attempts=9, backoff="fixed", base=10, jitter=0)
    await world.client.submit_job("a", Once(at), handler="h", retry=policy, deadline=25)
    await world.clock.sleep(5)
    member.kill()
    await world.clock.sleep(40)
    await world.start("r2")
    await world.clock.sleep(10)
    assert len(world.calls) == 1
    (record, _) = await world.client.executions("a")
    assert (record.status, record.started_at) == (S.DEAD, None)
    assert record.error == "its deadline passed before it began"


# Backfills


@in_a_world
async def test_a_backfill_runs_each_instant_once_in_order_however_often_it_is_asked_for(world: World) -> None:
    world.handler(takes=1)
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(seconds=60), handler="h")
    await world.client.pause_job("a")
    await world.clock.sleep(605)
    start, end = epoch(world), epoch(world) + timedelta(seconds=600)
    would = await world.client.backfill_job("a", start, end, dry_run=True)
    handles = await world.client.backfill_job("a", start, end)
    assert [handle.execution_id for handle in would] == [handle.execution_id for handle in handles]
    assert len(handles) == 9
    assert await world.client.backfill_job("a", start, end) == []
    records = [await handle.wait(200) for handle in handles]
    assert [record.status for record in records] == [S.OK] * 9
    assert dues(world) == [60.0 * number for number in range(1, 10)]
    assert [record.due for record in records] == [handle.due for handle in handles]
    assert {record.lag for record in records} == {None}
    starts = world.offsets("a")
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(starts))
    assert await world.client.backfill_job("a", start, end) == []
    (later,) = await world.client.backfill_job("a", start, end + timedelta(seconds=1))
    assert later.due == end


@in_a_world
async def test_the_runs_of_a_backfill_follow_each_other_without_delay(world: World) -> None:
    world.handler(takes=2)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", deadline=60)
    await world.client.pause_job("a")
    await world.clock.sleep(1000)
    since = world.clock.monotonic()
    for handle in await world.client.backfill_job("a", epoch(world), world.clock.now()):
        assert (await handle.wait(1000)).status is S.OK
    assert len(world.calls) == 99
    assert world.clock.monotonic() - since < 99 * 2.3


@in_a_world
async def test_a_backfill_that_fails_is_tried_again_and_leaves_what_the_plan_will_run(world: World) -> None:
    world.handler(fails=ValueError("no"))
    policy = RetryPolicy(max_attempts=2, backoff="fixed", base=5, jitter=0)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", retry=policy)
    await world.clock.sleep(25)
    assert await world.client.backfill_job("a", epoch(world), world.clock.now()) == []
    await world.client.pause_job("a")
    handles = await world.client.backfill_job("a", epoch(world), world.clock.now())
    await world.start()
    assert [(await handle.wait(60)).status for handle in handles] == [S.DEAD, S.DEAD]
    assert sorted(dues(world)) == [10.0, 10.0, 20.0, 20.0]
    with pytest.raises(InvalidJob, match="lies ahead"):
        await world.client.backfill_job("a", epoch(world), world.clock.now() + timedelta(hours=1))


# Nothing silent


@in_a_world
async def test_what_falls_due_in_a_pause_is_shown_while_it_lasts_and_recorded_when_it_ends(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.client.ensure_job("b", Interval(seconds=10), handler="h", history="none")
    await world.client.pause_job("a", until=world.clock.now() + timedelta(seconds=45), reason="stock-taking")
    await world.client.pause_job("b")
    await world.clock.sleep(35)
    for job in ("a", None):
        shown = {record.job: record for record in await world.client.executions(job, missed=True)}
        assert (shown["a"].status, shown["a"].number, shown["a"].reason) == (S.PAUSED, 3, "stock-taking")
        assert ("b" in shown) == (job is None)
    assert await world.client.executions("a", missed=True, since=world.clock.now()) == []
    await world.clock.sleep(20)
    assert world.offsets("a") == [50.0]
    assert told(world) == [(S.PAUSED, 4)]
    (record,) = await world.client.executions("a", missed=True)
    assert (record.number, record.execution) == (4, shown["a"].execution)
    assert (await world.client.resume_job("b")).counts == {S.PAUSED: 5}
    assert await world.client.executions("b", missed=True) == []


@in_a_world
async def test_a_removal_tells_of_what_it_dropped_and_ends_what_is_waited_for(world: World) -> None:
    world.handler(fails=ValueError("no"))
    member = await world.start()
    policy = RetryPolicy(max_attempts=9, base=1000)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", retry=policy)
    await world.clock.sleep(12)
    member.kill()
    await world.clock.sleep(23)
    handle = await world.client.trigger_job("a")
    ends: list[S] = []

    async def wait() -> None:
        ends.append((await handle.wait(60)).status)

    world.tasks.start_soon(wait)
    await world.clock.sleep(1)
    await world.client.remove_job("a")
    await world.clock.sleep(8)
    assert ends == [S.CANCELLED]
    records = await world.client.executions("a", missed=True)
    assert [(record.status, record.number, record.manual) for record in records] == [
        (S.CANCELLED, 1, False),
        (S.CANCELLED, 1, True),
        (S.SUPERSEDED, 2, False),
    ]
    assert {record.reason for record in records[:2]} == {"the job was removed"}
    retried = world.client.execution("a", records[0].execution)
    assert (await retried.wait(10)).status is S.CANCELLED
    with pytest.raises(ExecutionFailed):
        await world.client.execution("a", "nobody").wait(10)


@in_a_world
async def test_a_handle_is_not_misled_by_what_was_left_out_for_its_run(world: World) -> None:
    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        world.calls.append(ctx)
        await world.clock.sleep(20)

    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(35)
    await world.start()
    await world.clock.sleep(2)
    (call,) = world.calls
    assert told(world) == [(S.COALESCED, 2)]
    with pytest.raises(TimeoutError):
        await world.client.execution("a", call.execution_id).wait(8)
    assert (await world.client.execution("a", call.execution_id).wait(60)).status is S.OK
    assert [record.status for record in await world.client.executions("a", missed=True)][-1] is S.COALESCED


@in_a_world
async def test_a_handle_takes_no_record_of_a_decision_that_was_not_written(world: World) -> None:
    world.handler(takes=20)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", history="failures")
    await world.clock.sleep(35)
    await world.start()
    await world.clock.sleep(1)
    handle = await world.client.trigger_job("a")
    (coalesced,) = await world.client.executions("a", missed=True)
    stale = replace(coalesced, execution=handle.execution_id, status=S.EXPIRED, manual=True)
    await world.backend.history.create(stale, ttl=timedelta(days=1))
    assert (await handle.wait(60)).status is S.OK
    with pytest.raises(ExecutionFailed):  # it ended well, of which this history keeps nothing
        await world.client.execution("a", coalesced.execution).wait(60)


@in_a_world
async def test_what_falls_due_while_a_claim_is_lost_is_told_of_too(
    world: World,
) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="earliest")
    await world.clock.sleep(35)
    lose_a_write(world, lambda job: bool(job.status.running))
    await world.start()
    await world.clock.sleep(30)
    assert (dues(world), told(world)) == ([10.0, 60.0], [(S.COALESCED, 4)])
    (record,) = await world.client.executions("a", missed=True)
    assert (record.number, (record.due - epoch(world)).total_seconds()) == (4, 50.0)
    assert [record.status for record in await world.client.executions("a")] == [S.OK, S.OK, S.COALESCED]


@in_a_world
async def test_what_falls_due_while_the_end_of_a_pause_is_lost_is_told_of_too(world: World) -> None:
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.client.pause_job("a")
    await world.clock.sleep(35)
    lose_a_write(world, lambda job: True)
    job = await world.client.resume_job("a")
    (record,) = await world.client.executions("a", missed=True)
    assert record.number == job.counts[S.PAUSED] == 5


# Records of a write that was planned and never made


async def planned_and_not_made(world: World, *, first: float = 10, status: S = S.COALESCED) -> None:
    """Have the record lie there of a look at the plan, after 35 s, of which the write was lost to another one."""
    job = (await world.client.get_job("a")).document
    looked = epoch(world) + timedelta(seconds=35)
    stale = record_of_none(
        job, gap_of(job, epoch(world) + timedelta(seconds=first), looked), status, "stale", now=looked
    )
    assert await world.backend.history.create(stale, ttl=timedelta(days=1))


@in_a_world
async def test_a_claim_tells_of_what_it_leaves_out_though_a_skip_of_the_same_instants_was_told_of(
    world: World,
) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="earliest")
    await world.clock.sleep(35)
    await planned_and_not_made(world, status=S.SKIPPED)
    await world.start()
    await world.clock.sleep(1)
    for missed, wanted in ((True, [(S.COALESCED, 2)]), (False, [(S.OK, 1), (S.COALESCED, 2)])):
        records = await world.client.executions("a", missed=missed)
        assert [(record.status, record.number) for record in records] == wanted


@in_a_world
async def test_nobody_is_told_of_a_record_whose_write_has_not_come(world: World) -> None:
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(35)
    await planned_and_not_made(world)
    assert len(await world.backend.history.list("a")) == 1
    assert list(await world.client.executions("a", missed=True)) == []
    assert list(await world.client.executions()) == []


@in_a_world
async def test_what_waited_as_a_job_paused_itself_is_told_of_by_the_pause_alone(world: World) -> None:
    world.handler(takes=30, fails=ValueError("no"))
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="queue", auto_pause_after=1)
    await world.start()
    await world.clock.sleep(39)
    await planned_and_not_made(world, first=20)
    await world.clock.sleep(21)
    assert [record.status for record in await world.client.executions("a")] == [S.FAILED]
    await world.client.resume_job("a")
    records = await world.client.executions("a")
    assert [(record.status, record.number) for record in records] == [(S.PAUSED, 5), (S.FAILED, 1)]


@in_a_world
async def test_a_claim_tells_of_all_that_it_leaves_out_though_an_earlier_look_left_a_record(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(95)
    await planned_and_not_made(world)
    await world.start()
    await world.clock.sleep(1)
    (record,) = await world.client.executions("a", missed=True)
    assert (dues(world), record.number, record.status) == ([90.0], 8, S.COALESCED)


@in_a_world
async def test_a_settled_plan_tells_of_all_that_it_leaves_out_though_an_earlier_look_left_a_record(
    world: World,
) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="none", tolerance=1)
    await world.clock.sleep(95)
    await planned_and_not_made(world)
    await world.start()
    await world.clock.sleep(1)
    (record,) = await world.client.executions("a", missed=True)
    assert (dues(world), record.number, record.status) == ([], 9, S.MISSED)


@in_a_world
async def test_a_change_tells_of_all_that_it_supersedes_though_an_earlier_look_left_a_record(world: World) -> None:
    for change in ("update", "remove"):
        await world.client.ensure_job("a", Interval(seconds=10), handler="h")
        created = world.clock.now()
        await world.clock.sleep(95)
        job = (await world.client.get_job("a")).document
        gap = gap_of(job, created + timedelta(seconds=10), created + timedelta(seconds=35))
        stale = record_of_none(job, gap, S.COALESCED, "stale", now=world.clock.now())
        assert await world.backend.history.create(stale, ttl=timedelta(days=1))
        if change == "update":
            await world.client.ensure_job("a", Interval(seconds=20), handler="h")
        else:
            await world.client.remove_job("a")
        record, *_ = await world.client.executions("a", missed=True)
        assert (record.uid, record.number, record.status) == (job.uid, 9, S.SUPERSEDED), change
        if change == "update":
            await world.client.remove_job("a")


@in_a_world
async def test_a_claim_tells_of_nothing_that_runs_after_all_as_its_job_was_changed_meanwhile(world: World) -> None:
    world.handler()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(35)
    read = world.backend.jobs.read_many

    async def read_and_change(ids: Sequence[JobId]) -> Mapping[JobId, Stored]:
        found = await read(ids)
        await world.client.ensure_job("a", Interval(seconds=10), handler="h", catch_up="all")
        return found

    world.backend.jobs.read_many = read_and_change  # type: ignore[method-assign, assignment]
    await world.start()
    await world.clock.sleep(1)
    assert (dues(world), told(world)) == ([10.0, 20.0, 30.0], [])
    assert [record.status for record in await world.backend.history.list()] == [S.OK] * 3
