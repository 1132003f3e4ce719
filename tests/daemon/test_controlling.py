"""Control of what is under way: cancel, pause, progress, data, over replicas and their deaths."""

import asyncio
from datetime import timedelta

import anyio.lowlevel
import pytest

from natsched.core.chains import After
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.owed import manual_hint, retry_hint
from natsched.core.schedules import Interval, Once
from natsched.errors import InvalidJob, Unavailable
from natsched.targets.context import Context
from natsched.targets.hooks import HookEvent
from tests.daemon.harness import World, in_a_world

WEEK = Interval(days=7)


async def triggered(world: World, job: str = "a") -> str:
    """Trigger a job and return its execution once it runs."""
    handle = await world.client.trigger_job(job)
    before = len(world.starts)
    while len(world.starts) == before:
        await world.clock.sleep(0.01)
    return handle.execution_id


@in_a_world
async def test_a_running_execution_is_cancelled_with_its_reason_at_once(world: World) -> None:
    world.handler(takes=3600.0)
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    execution = await triggered(world)
    began = world.clock.monotonic()
    handle = await world.client.cancel_execution("a", execution, reason="wrong file")
    record = await handle
    assert (record.status, record.reason) == (ExecutionStatus.CANCELLED, "wrong file")
    assert world.clock.monotonic() - began < 0.1
    await world.clock.sleep(0.1)
    assert (await world.client.get_job("a")).running == ()


@in_a_world
async def test_an_execution_of_a_replica_that_died_is_cancelled_and_not_taken_over(world: World) -> None:
    world.handler(takes=3600.0)
    first = await world.start("r1")
    await world.client.ensure_job("a", WEEK, handler="h")
    execution = await triggered(world)
    first.kill()
    handle = await world.client.cancel_execution("a", execution)
    await world.start("r2")
    assert (await handle).status is ExecutionStatus.CANCELLED
    assert len(world.calls) == 1


@in_a_world
async def test_a_word_that_was_lost_is_said_again_by_the_sweep(world: World) -> None:
    world.handler(takes=3600.0)
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    execution = await triggered(world)

    async def lost(*args: object, **kwargs: object) -> None:
        await anyio.lowlevel.checkpoint()

    world.backend.locks.put, put = lost, world.backend.locks.put  # type: ignore[method-assign]
    handle = await world.client.cancel_execution("a", execution)
    world.backend.locks.put = put  # type: ignore[method-assign]
    assert (await handle.wait(timeout=60)).status is ExecutionStatus.CANCELLED


@in_a_world
async def test_what_waits_to_begin_or_for_another_attempt_is_taken_out(world: World) -> None:
    world.handler(fails=ValueError("no"))
    await world.client.ensure_job("a", WEEK, handler="h", retry={"max_attempts": 3, "base": 3600})
    waiting = await world.client.trigger_job("a")
    await world.client.cancel_execution("a", waiting.execution_id)
    assert (await waiting).status is ExecutionStatus.CANCELLED
    await world.start()
    retrying = await world.client.trigger_job("a")
    while not (await world.client.get_job("a")).retrying:
        await world.clock.sleep(0.1)
    record = await (await world.client.cancel_execution("a", retrying.execution_id, reason="enough"))
    assert (record.status, record.reason, record.attempt) == (ExecutionStatus.CANCELLED, "enough", 0)
    assert (await world.client.get_job("a")).retrying == ()
    await world.clock.sleep(7200)
    assert len(world.calls) == 1
    await world.client.retry_execution("a", retrying.execution_id)
    await world.clock.sleep(1)
    assert len(world.calls) == 2, "one that was cancelled may be tried again by hand"


@in_a_world
async def test_what_is_not_under_way_cannot_be_cancelled_or_paused(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h")
    record = await (await world.client.trigger_job("a"))
    with pytest.raises(InvalidJob, match="not under way"):
        await world.client.cancel_execution("a", record.execution)
    with pytest.raises(InvalidJob, match="not under way"):
        await world.client.pause_execution("a", record.execution)


@in_a_world
async def test_a_run_waits_at_its_checkpoint_while_it_is_paused_and_its_time_limit_too(world: World) -> None:
    steps: list[int] = []

    @world.registry.handler("steps")
    async def run(ctx: Context) -> None:
        for step in range(10):
            await ctx.checkpoint()
            steps.append(step)
            await world.clock.sleep(1)

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="steps", timeout=15)
    execution = await triggered(world)
    await world.clock.sleep(3.5)
    await world.client.pause_execution("a", execution)
    await world.clock.sleep(60)
    assert len(steps) == 4
    await world.client.resume_execution("a", execution)
    record = await world.client.execution("a", execution)
    assert record.status is ExecutionStatus.OK
    assert record.duration == pytest.approx(10 + 60 - 0.5, abs=0.6)


@in_a_world
async def test_the_hooks_of_a_pause_are_called_once_each_and_a_pause_puts_no_deadline_off(world: World) -> None:
    told: list[str] = []

    @world.registry.handler("steps")
    async def run(ctx: Context) -> None:
        while True:
            await ctx.checkpoint()
            await world.clock.sleep(1)

    @world.registry.hook("on_pause", job="a")
    @world.registry.hook("on_resume")
    async def note(event: HookEvent) -> None:
        told.append(event.hook)

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="steps", deadline=30)
    execution = await triggered(world)
    for _ in range(2):
        await world.clock.sleep(2)
        await world.client.pause_execution("a", execution)
        await world.clock.sleep(2)
        await world.client.resume_execution("a", execution)
    record = await world.client.execution("a", execution)
    assert told == ["on_pause", "on_resume"] * 2
    assert record.status is ExecutionStatus.TIMED_OUT
    assert record.duration == pytest.approx(30, abs=0.1)


@in_a_world
async def test_a_run_that_goes_on_is_timed_out_by_what_is_left(world: World) -> None:
    @world.registry.handler("steps")
    async def run(ctx: Context) -> None:
        while True:
            await ctx.checkpoint()
            await world.clock.sleep(1)

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="steps", timeout=15)
    execution = await triggered(world)
    await world.clock.sleep(5)
    await world.client.pause_execution("a", execution)
    await world.clock.sleep(60)
    await world.client.resume_execution("a", execution)
    record = await world.client.execution("a", execution)
    assert record.status is ExecutionStatus.TIMED_OUT
    assert record.duration == pytest.approx(75, abs=1.1)


@in_a_world
async def test_a_paused_run_can_be_cancelled_and_a_takeover_is_still_paused(world: World) -> None:
    went_on: list[int] = []

    @world.registry.handler("steps")
    async def run(ctx: Context) -> None:
        while True:
            await ctx.checkpoint()
            went_on.append(ctx.attempt)
            await world.clock.sleep(1)

    first = await world.start("r1")
    await world.client.ensure_job("a", WEEK, handler="steps")
    execution = await triggered(world)
    await world.client.pause_execution("a", execution)
    await world.clock.sleep(2)
    first.kill()
    await world.start("r2")
    await world.clock.sleep(60)
    assert len(world.starts) == 2
    assert set(went_on) == {1}
    assert (await (await world.client.cancel_execution("a", execution))).status is ExecutionStatus.CANCELLED


@in_a_world
async def test_what_a_run_says_is_there_at_once_and_the_last_word_in_its_record(world: World) -> None:
    @world.registry.handler("tells")
    async def run(ctx: Context) -> None:
        ctx.check_in("42 %", {"rows": 7})
        await world.clock.sleep(60)
        ctx.check_in("done")

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="tells")
    execution = await triggered(world)
    await world.clock.sleep(0.05)
    (running,) = await world.client.executions("a")
    assert running.check_in is not None
    assert (running.check_in.text, running.check_in.data) == ("42 %", {"rows": 7})
    record = await world.client.execution("a", execution)
    assert record.check_in is not None
    assert record.check_in.text == "done"
    await world.clock.sleep(5)
    assert await world.backend.locks.list("note") == {}, "what went well leaves no notes"


@in_a_world
async def test_a_later_attempt_goes_on_with_what_an_earlier_one_saved(world: World) -> None:
    seen: list[object] = []

    @world.registry.handler("saves")
    async def run(ctx: Context) -> None:
        seen.append(await ctx.get_data())
        await ctx.save_data({"row": ctx.attempt * 100})
        if ctx.attempt < 3:
            raise ValueError("again")

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="saves", retry={"max_attempts": 3, "base": 1})
    await (await world.client.trigger_job("a"))
    await (await world.client.trigger_job("a"))
    assert seen == [None, {"row": 100}, {"row": 200}] * 2


@in_a_world
async def test_data_that_is_no_json_or_too_large_is_an_error_that_says_so(world: World) -> None:
    @world.registry.handler("saves")
    async def run(ctx: Context) -> None:
        await ctx.save_data("x" * 70_000)

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="saves")
    record = await (await world.client.trigger_job("a"))
    assert record.status is ExecutionStatus.FAILED
    assert "data: 70,002 bytes are too many" in (record.error or "")


@in_a_world
async def test_the_fence_grows_with_each_claim_and_attempt(world: World) -> None:
    world.handler(fails=ValueError("no"))
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", retry={"max_attempts": 2, "base": 1})
    await world.clock.sleep(45)
    fences = [call.fence for call in world.calls]
    assert len(fences) == 8
    assert fences == sorted(set(fences))


@in_a_world
async def test_replace_ends_the_running_one_and_starts_the_new_one_at_once(world: World) -> None:
    world.handler(takes=25.0)
    await world.start("r1")
    await world.start("r2")
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", overlap="replace")
    await world.clock.sleep(52)
    assert world.offsets("a") == [pytest.approx(at, abs=0.05) for at in (10, 20, 30, 40, 50)]
    assert {(record.status, record.reason) for record in world.ends} == {
        (ExecutionStatus.CANCELLED, f"replaced by the run due at {call.due.isoformat()}") for call in world.calls[1:]
    }
    stored = await world.backend.jobs.read((await world.client.get_job("a")).document.id)
    assert isinstance(stored.job, Job)
    assert len(stored.job.status.running) == 1


@in_a_world
async def test_the_last_instant_of_a_once_may_be_cancelled_and_completes_the_job(world: World) -> None:
    world.handler(takes=100.0)
    await world.start()
    await world.client.submit_job("a", Once(world.clock.now() + timedelta(seconds=2)), handler="h")
    await world.clock.sleep(3)
    (running,) = (await world.client.get_job("a")).running
    await (await world.client.cancel_execution("a", running))
    await world.clock.sleep(0.1)
    assert (await world.client.get_job("a")).state == "completed"


@in_a_world
async def test_a_run_that_fails_as_it_is_cancelled_is_not_tried_again(world: World) -> None:
    @world.registry.handler("stubborn")
    async def run(ctx: Context) -> None:
        world.calls.append(ctx)
        try:
            await world.clock.sleep(3600)
        except asyncio.CancelledError:
            raise ValueError("interrupted") from None

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="stubborn", retry={"max_attempts": 3, "base": 1})
    execution = await triggered(world)
    handle = await world.client.cancel_execution("a", execution, reason="wrong file")
    record = await handle.wait(timeout=60)
    assert (record.status, len(world.calls)) == (ExecutionStatus.CANCELLED, 1)
    view = await world.client.get_job("a")
    assert (view.running, view.retrying, view.counts) == ((), (), {ExecutionStatus.CANCELLED: 1})


@in_a_world
async def test_what_follows_any_end_follows_a_retry_that_is_cancelled(world: World) -> None:
    world.handler(fails=ValueError("no"))
    world.handler("next")
    await world.start()
    await world.client.ensure_job("a", WEEK, handler="h", retry={"max_attempts": 3, "base": 3600})
    await world.client.ensure_job("b", After("a", on="any"), handler="next")
    execution = await triggered(world)
    await world.clock.sleep(0.1)
    await world.client.cancel_execution("a", execution)
    await world.clock.sleep(0.5)
    assert [call.job_id for call in world.calls] == ["a", "b"]


@in_a_world
async def test_what_is_paused_goes_on_though_the_word_of_it_was_lost(world: World) -> None:
    @world.registry.handler("steps")
    async def run(ctx: Context) -> None:
        for _ in range(100):
            await world.clock.sleep(0.1)
            await ctx.checkpoint()

    await world.start()
    await world.client.ensure_job("a", WEEK, handler="steps")
    execution = await triggered(world)
    await world.client.pause_execution("a", execution)
    await world.clock.sleep(20)

    async def lost(*args: object, **kwargs: object) -> None:
        await anyio.lowlevel.checkpoint()

    world.backend.locks.put, put = lost, world.backend.locks.put  # type: ignore[method-assign]
    await world.client.resume_execution("a", execution)
    world.backend.locks.put = put  # type: ignore[method-assign]
    await world.clock.sleep(60)
    assert [record.status for record in world.ends] == [ExecutionStatus.OK]


@pytest.mark.parametrize("what", ["trigger", "retry"])
def test_what_was_asked_for_without_an_answer_and_has_ended_by_now_is_not_asked_for_again(what: str) -> None:
    @in_a_world
    async def run(world: World) -> None:
        world.handler(fails=ValueError("no"))
        await world.start()
        await world.client.ensure_job("a", WEEK, handler="h")
        before = [] if what == "trigger" else [await (await world.client.trigger_job("a"))]
        await world.clock.sleep(1)
        write, lost = world.backend.jobs.write, 0

        async def silent(job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
            nonlocal lost
            revision = await write(job, expected=expected, ttl=ttl)
            asked = {**job.status.manual, **job.status.retries}
            if asked and not lost:
                lost += 1
                hint = manual_hint if what == "trigger" else retry_hint
                found = hint(job, next(iter(asked)), revision)
                assert found is not None
                await world.backend.hints.deliver(found)  # as a sweep might
                await world.clock.sleep(3)  # by now it has ended
                raise Unavailable
            return revision

        world.backend.jobs.write = silent  # type: ignore[method-assign]
        if what == "trigger":
            await world.client.trigger_job("a")
        else:
            await world.client.retry_execution("a", before[0].execution)
        await world.clock.sleep(60)
        assert lost == 1
        assert len(world.calls) == 1 + len(before)

    run()
