"""Executions that fail and are tried again, over replicas that die meanwhile."""

from datetime import timedelta

import pytest

from natsched.core.backoff import RetryPolicy
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.schedules import Interval, Once
from natsched.daemon.events import Repaired
from natsched.errors import InvalidJob, JobNotFound, Unavailable
from natsched.targets.context import Context
from natsched.targets.signals import Abort, Retry
from tests.daemon.harness import World, in_a_world
from tests.garbage import listening

STEADY = RetryPolicy(max_attempts=3, backoff="fixed", base=10, jitter=0)


def failing(world: World, *, times: int, error: Exception | None = None) -> None:
    """Register a handler `h` that notes its calls and fails that many times for each execution."""

    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        world.calls.append(ctx)
        if ctx.attempt <= times:
            raise error or ValueError("no")


async def once(world: World, **options: object) -> None:
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h", **options)  # type: ignore[arg-type]


async def statuses(world: World, job: str = "a") -> list[ExecutionStatus]:
    """Return the statuses of a job's records, the oldest first."""
    return [record.status for record in reversed(await world.client.executions(job))]


@in_a_world
async def test_a_failure_is_tried_again_after_its_backoff_and_a_success_ends_it(world: World) -> None:
    failing(world, times=2)
    await world.start()
    await once(world, retry=STEADY)
    await world.clock.sleep(40)
    assert world.offsets("a") == [2, 12, 22]
    assert {call.due for call in world.calls} == {world.calls[0].due}
    assert len({call.execution_id for call in world.calls}) == 1
    assert await statuses(world) == [ExecutionStatus.RETRYING, ExecutionStatus.RETRYING, ExecutionStatus.OK]
    job = await world.client.get_job("a")
    assert (job.state, job.counts, job.document.status.failures) == ("completed", {ExecutionStatus.OK: 1}, 0)


@in_a_world
async def test_when_the_attempts_are_spent_the_execution_is_dead(world: World) -> None:
    failing(world, times=9)
    await world.start()
    await once(world, retry=STEADY)
    await world.clock.sleep(60)
    assert await statuses(world) == [ExecutionStatus.RETRYING, ExecutionStatus.RETRYING, ExecutionStatus.DEAD]
    (last, *_) = await world.client.executions("a")
    assert (last.attempt, last.reason, last.error) == (3, "3 attempts failed", "ValueError: no")
    job = await world.client.get_job("a")
    assert (job.state, job.counts) == ("completed", {ExecutionStatus.DEAD: 1})


@in_a_world
async def test_a_planned_retry_survives_the_death_of_every_replica(world: World) -> None:
    failing(world, times=1)
    first = await world.start("r1")
    await once(world, retry=STEADY)
    await world.clock.sleep(5)
    first.kill()
    await world.clock.sleep(60)
    await world.start("r2")
    await world.clock.sleep(5)
    assert [(call.attempt, call.replica) for call in world.calls] == [(1, "r1"), (2, "r2")]
    assert await statuses(world) == [ExecutionStatus.RETRYING, ExecutionStatus.OK]


@in_a_world
async def test_a_replica_that_dies_between_record_and_finish_leaves_the_retry_to_the_next(world: World) -> None:
    failing(world, times=1)
    first = await world.start("r1")
    write = world.backend.jobs.write

    async def dead(job: Job, **options: object) -> int:
        if job.status.retries:
            first.kill()
            raise Unavailable
        return await write(job, **options)  # type: ignore[arg-type]

    world.backend.jobs.write = dead  # type: ignore[method-assign]
    await once(world, retry=STEADY)
    await world.clock.sleep(3)
    world.backend.jobs.write = write  # type: ignore[method-assign]
    await world.start("r2")
    await world.clock.sleep(30)
    assert [(call.attempt, call.replica) for call in world.calls] == [(1, "r1"), (2, "r2")]
    assert await statuses(world) == [ExecutionStatus.RETRYING, ExecutionStatus.OK]


@in_a_world
async def test_the_sweep_hints_a_retry_whose_message_was_lost(world: World) -> None:
    failing(world, times=1)
    await world.start(reconciler_interval=timedelta(seconds=5), reconciler_grace=timedelta(seconds=5))
    schedule = world.backend.hints.schedule
    await once(world, retry=STEADY)
    await world.clock.sleep(1.9)

    async def lost(*_: object, **__: object) -> int:
        return 0

    world.backend.hints.schedule = lost  # type: ignore[method-assign]
    await world.clock.sleep(3)
    world.backend.hints.schedule = schedule  # type: ignore[method-assign]
    await world.clock.sleep(30)
    assert [call.attempt for call in world.calls] == [1, 2]


@in_a_world
async def test_a_replica_that_dies_on_a_retry_hands_it_on_as_the_attempt_after(world: World) -> None:
    failing(world, times=1)
    hanging: list[Context] = []

    @world.registry.handler("hangs")
    async def run(ctx: Context) -> None:
        hanging.append(ctx)
        if ctx.attempt == 1:
            raise ValueError
        await world.clock.sleep(60 if ctx.attempt == 2 else 0)

    first = await world.start("r1")
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="hangs", retry=STEADY)
    await world.clock.sleep(15)
    await world.start("r2")
    first.kill()
    await world.clock.sleep(15)
    assert [(call.attempt, call.replica) for call in hanging] == [(1, "r1"), (2, "r1"), (3, "r2")]


@in_a_world
async def test_a_handler_may_ask_for_another_attempt_later_or_for_none(world: World) -> None:
    failing(world, times=1, error=Retry("busy", after=30))
    await world.start()
    await once(world, retry=RetryPolicy(retry_on=("KeyError",)))
    at = world.clock.now() + timedelta(seconds=2)

    @world.registry.handler("gives up")
    async def gives_up(_: Context) -> None:
        raise Abort("nobody there")

    await world.client.submit_job("b", Once(at), handler="gives up", retry=STEADY)
    await world.clock.sleep(60)
    assert world.offsets("a") == [2, 32]
    (record,) = await world.client.executions("b")
    assert (record.status, record.error) == (ExecutionStatus.DEAD, "Abort: nobody there")


@in_a_world
async def test_only_what_retry_on_names_is_tried_again(world: World) -> None:
    failing(world, times=1, error=ConnectionResetError("gone"))
    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    for name, names in (("base", "OSError"), ("other", "KeyError"), ("full", "builtins.ConnectionError")):
        await world.client.submit_job(name, Once(at), handler="h", retry={"retry_on": (names,), "base": 1})
    await world.client.submit_job("late", Once(at), handler="slow", timeout=1, retry={"retry_on": ("timed_out",)})

    @world.registry.handler("slow")
    async def slow(ctx: Context) -> None:
        await world.clock.sleep(9 if ctx.attempt == 1 else 0)

    await world.clock.sleep(30)
    assert {job: (await statuses(world, job))[-1] for job in ("base", "other", "full", "late")} == {
        "base": ExecutionStatus.OK,
        "other": ExecutionStatus.DEAD,
        "full": ExecutionStatus.OK,
        "late": ExecutionStatus.OK,
    }


@in_a_world
async def test_a_job_pauses_itself_after_failures_in_a_row_and_says_why(world: World) -> None:
    failing(world, times=9)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", auto_pause_after=3)
    with listening() as told:
        await world.clock.sleep(100)
    assert "job_paused" in told.actions
    job = await world.client.get_job("a")
    assert (job.state, len(world.calls)) == ("paused", 3)
    assert job.reason == "3 failures in a row, the last: ValueError: no"
    await world.client.resume_job("a")
    await world.clock.sleep(25)
    job = await world.client.get_job("a")
    assert (job.state, job.reason, len(world.calls)) == ("active", None, 5)


@in_a_world
async def test_a_paused_jobs_retry_waits_until_it_goes_on(world: World) -> None:
    failing(world, times=1)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=60), handler="h", retry=STEADY)
    await world.clock.sleep(62)
    await world.client.pause_job("a", reason="the wind")
    await world.clock.sleep(100)
    assert [call.attempt for call in world.calls] == [1]
    await world.client.resume_job("a")
    await world.clock.sleep(5)
    assert [call.attempt for call in world.calls] == [1, 2]


@in_a_world
async def test_a_fixed_delay_counts_from_the_end_of_the_last_attempt(world: World) -> None:
    failing(world, times=2)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=60, fixed_delay=True), handler="h", retry=STEADY)
    await world.clock.sleep(150)
    assert world.offsets("a") == [pytest.approx(at, abs=0.1) for at in (60, 70, 80, 140, 150)]


@in_a_world
async def test_a_dead_execution_is_tried_again_by_hand_although_its_job_is_complete(world: World) -> None:
    failing(world, times=3)
    await world.start()
    await once(world, retry=STEADY)
    await world.clock.sleep(60)
    (dead,) = await world.client.executions(status=["dead"])
    assert (dead.attempt, dead.status) == (3, ExecutionStatus.DEAD)
    handle = await world.client.retry_execution("a", dead.execution)
    record = await handle.wait(10)
    assert (record.attempt, record.status, record.due) == (4, ExecutionStatus.OK, dead.due)
    assert await world.client.executions(status=["dead"]) == []
    assert (await world.client.get_job("a")).state == "completed"


@in_a_world
async def test_all_that_is_dead_is_tried_again_at_once_but_not_what_was_removed(world: World) -> None:
    failing(world, times=1)
    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    for job in ("a", "b", "gone"):
        await world.client.submit_job(job, Once(at), handler="h", retry=RetryPolicy(max_attempts=1))
    await world.clock.sleep(5)
    await world.client.remove_job("gone")
    handles = await world.client.retry_dead()
    assert {handle.job_id for handle in handles} == {"a", "b"}
    assert {(await handle.wait(10)).status for handle in handles} == {ExecutionStatus.OK}
    assert len(world.calls) == 5


@in_a_world
async def test_a_trigger_that_failed_is_tried_again_with_its_payload(world: World) -> None:
    failing(world, times=1)
    await world.start()
    await world.client.ensure_job("a", Interval(hours=1), handler="h", retry=RetryPolicy(max_attempts=1))
    first = await (await world.client.trigger_job("a", {"user": 42})).wait(10)
    assert first.status is ExecutionStatus.DEAD
    await (await world.client.retry_execution("a", first.execution)).wait(10)
    assert [call.payload for call in world.calls] == [{"user": 42}] * 2


@in_a_world
async def test_what_did_not_fail_is_not_tried_again(world: World) -> None:
    failing(world, times=0)
    await world.start()
    await once(world)
    await world.clock.sleep(5)
    (record,) = await world.client.executions("a")
    with pytest.raises(InvalidJob, match="is ok: only one that failed is tried again"):
        await world.client.retry_execution("a", record.execution)
    with pytest.raises(JobNotFound, match="no record of an execution"):
        await world.client.retry_execution("a", "nonsense")


@in_a_world
async def test_a_retry_that_waits_for_long_is_left_alone_by_the_sweeps(world: World) -> None:
    failing(world, times=1)
    await world.start(reconciler_interval=timedelta(seconds=5), reconciler_grace=timedelta(seconds=5))
    await once(world, retry=RetryPolicy(base=600.0, jitter=0.0))
    await world.clock.sleep(500)
    assert world.told(Repaired) == []
    await world.clock.sleep(110)
    assert world.offsets("a") == [2, 602]


@in_a_world
async def test_a_retry_goes_on_after_a_pause_that_ends_by_itself_though_no_run_is_planned(world: World) -> None:
    world.handler(fails=ValueError("no"))
    await world.start()
    await world.client.ensure_job(
        "a", Interval(seconds=10, max_runs=1), handler="h", retry={"max_attempts": 2, "base": 20, "jitter": 0}
    )
    await world.clock.sleep(15)
    await world.client.pause_job("a", until=world.clock.now() + timedelta(seconds=100))
    await world.clock.sleep(170)
    assert [call.attempt for call in world.calls] == [1, 2]
    assert world.offsets("a")[1] == pytest.approx(115, abs=0.1)
    assert (await world.client.get_job("a")).state == "completed"
