"""Jobs that run after others, over deaths, pauses and changes."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from natsched.core.chains import After
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.schedules import Cron, Interval
from natsched.errors import InvalidJob, JobExists, ScheduleError, Unavailable
from natsched.targets.context import Context
from tests.daemon.harness import World, in_a_world

WEEK = Interval(days=7)


@in_a_world
async def test_a_job_runs_once_after_each_success_of_another_at_once_and_knows_it(world: World) -> None:
    world.handler(takes=1.0)
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    await world.client.ensure_job("c", After("b"), handler="h")
    await world.clock.sleep(35)
    assert Counter(call.job_id for call in world.calls) == {"a": 3, "b": 3, "c": 3}
    assert world.offsets("b") == [pytest.approx(at, abs=0.05) for at in (11, 21, 31)]
    assert world.offsets("c") == [pytest.approx(at, abs=0.1) for at in (12, 22, 32)]
    for call in world.calls:
        cause = call.cause
        assert (call.job_id == "a") is (cause is None)
        if cause is not None:
            assert cause.status is ExecutionStatus.OK
            assert cause.execution in {one.execution_id for one in world.calls if one.job_id == cause.job}
    view = await world.client.get_job("b")
    assert (view.state, view.next_run) == ("active", None)
    assert not (await world.client.get_job("a")).document.status.handovers


@pytest.mark.parametrize(("on", "wanted"), [("success", {1, 3}), ("failure", {0, 2}), ("any", {0, 1, 2, 3})])
def test_it_runs_after_the_ends_that_it_names(on: str, wanted: set[int]) -> None:
    @in_a_world
    async def run(world: World) -> None:
        world.handler()

        @world.registry.handler("sometimes")
        async def sometimes(ctx: Context) -> None:
            if ctx.due.second % 20 == 10:
                raise ValueError("no")

        await world.start()
        await world.client.ensure_job("a", Cron("*/10 * * * * *"), handler="sometimes")
        await world.client.ensure_job("b", After("a", on=on), handler="h")  # type: ignore[arg-type]
        await world.clock.sleep(45)
        assert world.offsets("b") == [pytest.approx(10 * (number + 1), abs=0.05) for number in sorted(wanted)]

    run()


@in_a_world
async def test_what_is_tried_again_has_not_ended(world: World) -> None:
    world.handler()

    @world.registry.handler("flaky")
    async def flaky(ctx: Context) -> None:
        if ctx.attempt < 3:
            raise ValueError("no")

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="flaky", retry={"max_attempts": 3, "base": 1})
    await world.client.ensure_job("b", After("a", on="any"), handler="h")
    await world.client.trigger_job("a")
    await world.clock.sleep(20)
    assert [call.cause.attempt for call in world.calls if call.cause is not None] == [3]


@in_a_world
async def test_an_end_is_passed_on_although_its_replica_died_right_after_it(world: World) -> None:
    world.handler(takes=5.0)
    dying = await world.start("r1")
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    write = world.backend.jobs.write

    async def dies(job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        revision = await write(job, expected=expected, ttl=ttl)
        if job.status.handovers:
            world.backend.jobs.write = write  # type: ignore[method-assign]
            dying.kill()
            await world.clock.sleep(0)
        return revision

    world.backend.jobs.write = dies  # type: ignore[method-assign]
    await world.client.trigger_job("a")
    await world.clock.sleep(10)
    assert [call.job_id for call in world.calls] == ["a"]
    await world.start("r2")
    await world.clock.sleep(100)
    assert [call.job_id for call in world.calls] == ["a", "b"]


@in_a_world
async def test_a_follower_that_is_told_twice_runs_once(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    chains = world.operations.chains
    ended: Job | None = None
    write = world.backend.jobs.write

    async def noted(job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        nonlocal ended
        ended = job if job.status.handovers else ended
        return await write(job, expected=expected, ttl=ttl)

    world.backend.jobs.write = noted  # type: ignore[method-assign]
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert ended is not None
    (execution,) = ended.status.handovers
    assert await chains.start((await world.client.get_job("b")).document.id, ended, execution)
    await world.clock.sleep(5)
    assert [call.job_id for call in world.calls] == ["a", "b"]


@in_a_world
async def test_a_paused_follower_does_not_run_and_its_history_says_why(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    await world.client.pause_job("b")
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    (record,) = await world.client.executions("b", missed=True)
    assert record.reason == "a ended, but the job is paused"
    await world.client.resume_job("b")
    await world.clock.sleep(60)
    assert [call.job_id for call in world.calls] == ["a"]
    assert (await world.client.get_job("b")).state == "active"


@in_a_world
async def test_who_does_not_follow_any_more_is_forgotten_and_who_follows_again_is_noted(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    await world.client.ensure_job("b", WEEK, handler="h")
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert [call.job_id for call in world.calls] == ["a"]
    assert (await world.client.get_job("a")).document.status.followers == ()
    await world.client.ensure_job("b", After("a"), handler="h")
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert [call.job_id for call in world.calls] == ["a", "a", "b"]


@in_a_world
async def test_a_job_that_was_created_anew_is_followed_again_after_a_sweep(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.client.ensure_job("b", After("a"), handler="h")
    await world.client.remove_job("a")
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.clock.sleep(31)
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert [call.job_id for call in world.calls] == ["a", "b"]


@in_a_world
async def test_what_cannot_follow_is_refused_with_its_field(world: World) -> None:
    with pytest.raises(InvalidJob, match=r"schedule\.jobs\.0: there is no job a that it could run after"):
        await world.client.ensure_job("b", After("a"))
    await world.client.ensure_job("a", After())
    with pytest.raises(InvalidJob, match="run after itself"):
        await world.client.ensure_job("a", After("a"))
    await world.client.ensure_job("b", After("a"))
    await world.client.ensure_job("c", After("b"))
    with pytest.raises(InvalidJob, match="run after itself"):
        await world.client.ensure_job("a", After("c"))
    with pytest.raises(InvalidJob, match=r"schedule\.jobs\.1"):
        await world.client.ensure_job("d", After("a", "no job"))
    with pytest.raises(ScheduleError, match="named twice"):
        After("a", "a")


@in_a_world
async def test_many_jobs_and_declared_ones_may_come_in_any_order(world: World) -> None:
    world.handler()
    result = await world.client.ensure_jobs(
        [
            {"id": "c", "schedule": After("b"), "handler": "h"},
            {"id": "b", "schedule": After("a"), "handler": "h"},
            {"id": "a", "schedule": WEEK, "handler": "h"},
        ]
    )
    assert result.created == 3

    @world.registry.job("e", After("d"))
    async def e(ctx: Context) -> None:
        world.calls.append(ctx)

    @world.registry.job("d", WEEK)
    async def d(ctx: Context) -> None:
        world.calls.append(ctx)

    await world.start()
    await world.client.trigger_job("d")
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert sorted(call.job_id for call in world.calls) == ["a", "b", "c", "d", "e"]


@in_a_world
async def test_a_circle_of_declared_jobs_is_refused(world: World) -> None:
    world.registry.job("a", After("b"))(lambda ctx: None)
    world.registry.job("b", After("a"))(lambda ctx: None)
    with pytest.raises(ScheduleError, match=r"in a circle, (a -> b -> a|b -> a -> b)"):
        list(world.registry.declared())


@in_a_world
async def test_each_part_that_every_replica_has_is_an_end_of_its_own(world: World) -> None:
    world.handler()
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", WEEK, handler="h", scope="all")
    await world.client.ensure_job("b", After("a"), handler="h", overlap="allow")
    await world.client.trigger_job("a")
    await world.clock.sleep(5)
    assert Counter(call.job_id for call in world.calls) == {"a": 2, "b": 2}


@in_a_world
async def test_a_submission_under_a_key_is_unique_within_its_window(world: World) -> None:
    key = {"unique_key": "order 42", "unique_for": timedelta(seconds=60)}
    await world.client.submit_job("a", WEEK, **key)  # type: ignore[arg-type]
    with pytest.raises(JobExists, match="the job a was submitted under 'order 42'"):
        await world.client.submit_job("b", WEEK, **key)  # type: ignore[arg-type]
    await world.client.submit_job("c", WEEK, unique_key="order 43")
    await world.clock.sleep(61)
    with pytest.raises(InvalidJob):
        await world.client.submit_job("no id", WEEK, **key)  # type: ignore[arg-type]
    with pytest.raises(JobExists):
        await world.client.submit_job("a", WEEK, **key)  # type: ignore[arg-type]
    await world.client.submit_job("b", WEEK, **key)  # type: ignore[arg-type]


@in_a_world
async def test_a_job_that_leaves_no_trace_is_followed_too(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="allow", delivery="at_most_once")
    await world.client.ensure_job("b", After("a"), handler="h")
    await world.clock.sleep(35)
    assert Counter(call.job_id for call in world.calls) == {"a": 3, "b": 3}


@in_a_world
async def test_an_attempt_by_hand_knows_what_it_runs_after(world: World) -> None:
    world.handler()
    world.handler("fails", fails=ValueError("no"))
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    await world.client.ensure_job("b", After("a"), handler="fails")
    await world.client.trigger_job("a")
    await world.clock.sleep(1)
    (failed,) = [record for record in world.ends if record.job == "b"]
    await world.client.retry_execution("b", failed.execution)
    await world.clock.sleep(1)
    first, again = (call for call in world.calls if call.job_id == "b")
    assert first.cause == again.cause is not None


@pytest.mark.parametrize("name", ["create", "renew"])
def test_a_submission_under_a_key_whose_answer_is_lost_may_be_tried_again(name: str) -> None:
    @in_a_world
    async def run(world: World) -> None:
        locks: Any = world.backend.locks
        real = getattr(locks, name)

        async def lost(key: Any, *arguments: Any, **options: Any) -> None:
            await real(key, *arguments, **options)
            raise Unavailable("no answer")

        setattr(locks, name, lost)
        with suppress(Unavailable):
            await world.client.submit_job("a", WEEK, unique_key="order 42")
        setattr(locks, name, real)
        with suppress(JobExists):
            await world.client.submit_job("a", WEEK, unique_key="order 42")
        assert (await world.client.get_job("a")).state == "active"
        await world.clock.sleep(3600)
        with pytest.raises(JobExists):
            await world.client.submit_job("b", WEEK, unique_key="order 42")

    run()
