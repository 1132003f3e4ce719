"""Hooks around runs: which are told, in what order, and what becomes of their errors."""

from datetime import timedelta
from typing import Any, get_args

import anyio
import pytest

from natsched.core.executions import ExecutionStatus, Record
from natsched.core.schedules import Once
from natsched.daemon.executing import Executor
from natsched.errors import InvalidJob
from natsched.targets.calling import Caller
from natsched.targets.context import Context
from natsched.targets.hooking import STOPPING, HookedRun, HookFailed
from natsched.targets.hooks import HookEvent, HookName
from natsched.targets.registry import Registry
from tests.daemon.harness import World, in_a_world
from tests.factories import NOON
from tests.virtual import virtual_time


def listen(world: World, *, job: str | None = None, fails: str = "", **options: Any) -> list[HookEvent]:
    """Register every hook, of a job or all, and return what they are told; those named in `fails` raise."""
    told: list[HookEvent] = []

    async def note(event: HookEvent) -> None:
        told.append(event)
        if event.hook in fails.split():
            raise ValueError(event.hook)

    for name in get_args(HookName):
        world.registry.hook(name, job=job, **options)(note)
    return told


async def run(world: World, job: str = "a", seconds: float = 10, **options: Any) -> Record:
    """Run a job once and return the record of its end."""
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job(job, Once(at), handler="h", **options)
    await world.clock.sleep(seconds)
    return next(record for record in reversed(world.ends) if record.job == job)


def names(told: list[HookEvent]) -> list[str]:
    return [event.hook for event in told]


@in_a_world
async def test_a_run_that_goes_well_is_told_at_its_start_its_success_and_last_of_all(world: World) -> None:
    told = listen(world)

    @world.registry.handler("h")
    async def handler(ctx: Context) -> object:
        assert names(told) == ["on_start"]
        return {"rows": 3}

    await world.start()
    record = await run(world)
    assert names(told) == ["on_start", "on_success", "finally"]
    assert [event.status for event in told] == [None, ExecutionStatus.OK, ExecutionStatus.OK]
    assert told[1].result == {"rows": 3}
    assert told[0].context.execution_id == record.execution
    assert (record.status, record.hooks) == (ExecutionStatus.OK, None)


@in_a_world
async def test_a_failure_and_a_timeout_are_told_with_the_error(world: World) -> None:
    told = listen(world)
    world.handler(fails=RuntimeError("broken"))
    world.handler("slow", takes=60)
    await world.start()
    await run(world, "a")
    assert names(told) == ["on_start", "on_error", "finally"]
    assert (told[1].status, told[1].error) == (ExecutionStatus.FAILED, "RuntimeError: broken")
    told.clear()
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("b", Once(at), handler="slow", timeout=3)
    await world.clock.sleep(10)
    assert names(told) == ["on_start", "on_error", "finally"]
    assert (told[1].status, told[1].error) == (ExecutionStatus.TIMED_OUT, "it ran longer than 3 s")


@in_a_world
async def test_hooks_of_one_job_are_told_of_it_alone(world: World) -> None:
    told = listen(world, job="a")
    world.handler()
    await world.start()
    await run(world, "b")
    await run(world, "a")
    assert {event.context.job_id for event in told} == {"a"}
    assert len(told) == 3


@in_a_world
async def test_errors_of_hooks_are_recorded_apart_and_change_nothing(world: World) -> None:
    told = listen(world, fails="on_start on_success on_error finally")
    world.handler()
    world.handler("bad", fails=RuntimeError("broken"))
    await world.start()
    record = await run(world, "a")
    assert (record.status, record.error) == (ExecutionStatus.OK, None)
    errors = {name: f"ValueError: {name}" for name in ("on_start", "on_success", "on_error", "finally")}
    assert record.hooks == {name: errors[name] for name in ("on_start", "on_success", "finally")}
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("b", Once(at), handler="bad")
    await world.clock.sleep(10)
    (bad,) = await world.client.executions("b")
    assert (bad.status, bad.error) == (ExecutionStatus.FAILED, "RuntimeError: broken")
    assert bad.hooks == {name: errors[name] for name in ("on_start", "on_error", "finally")}
    assert len(told) == 6


@in_a_world
async def test_on_start_whose_error_counts_fails_the_run_and_the_handler_is_not_called(world: World) -> None:
    told = listen(world, fails="on_start", ignore_error=False)
    world.handler()
    await world.start()
    record = await run(world)
    assert world.calls == []
    assert (record.status, record.error) == (ExecutionStatus.FAILED, "on_start: ValueError: on_start")
    assert names(told) == ["on_start", "on_error", "finally"]


@pytest.mark.parametrize(
    ("fails", "heard"),
    [("on_success", ["on_success", "on_error", "finally"]), ("finally", ["on_success", "finally"])],
)
def test_a_later_hook_whose_error_counts_fails_a_good_run(fails: str, heard: list[str]) -> None:
    async def test(world: World) -> None:
        told = listen(world, fails=fails, ignore_error=False)
        world.handler()
        await world.start()
        record = await run(world, retry={"max_attempts": 1})
        assert (record.status, record.error) == (ExecutionStatus.DEAD, f"{fails}: ValueError: {fails}")
        assert names(told)[1:] == heard

    in_a_world(test)()


@in_a_world
async def test_a_hook_never_takes_the_place_of_the_runs_own_error(world: World) -> None:
    listen(world, fails="on_error finally", ignore_error=False)
    world.handler(fails=RuntimeError("broken"))
    await world.start()
    record = await run(world)
    assert (record.status, record.error) == (ExecutionStatus.FAILED, "RuntimeError: broken")
    assert set(record.hooks or ()) == {"on_error", "finally"}


@in_a_world
async def test_a_hook_that_lasts_too_long_is_ended_and_its_run_goes_on(world: World) -> None:
    @world.registry.hook("on_start", timeout=2)
    async def last(event: HookEvent) -> None:
        await world.clock.sleep(60)

    world.handler()
    await world.start()
    record = await run(world)
    assert record.status is ExecutionStatus.OK
    assert record.hooks == {"on_start": "it ran longer than 2 s"}


@in_a_world
async def test_several_hooks_of_one_name_are_told_in_order_and_all_their_errors_kept(world: World) -> None:
    told = [listen(world, fails="finally"), listen(world, job="a"), listen(world, fails="finally")]
    world.handler()
    await world.start()
    record = await run(world)
    assert [names(one) for one in told] == [["on_start", "on_success", "finally"]] * 3
    assert record.hooks == {"finally": "ValueError: finally; ValueError: finally"}


@in_a_world
async def test_a_run_that_a_shutdown_stops_is_told_in_spite_of_its_cancellation(world: World) -> None:
    told = listen(world, fails="on_stop")
    waited: list[float] = []

    @world.registry.hook("on_stop")
    async def tidy(event: HookEvent) -> None:
        await world.clock.sleep(1)
        waited.append(world.clock.monotonic())

    world.handler(takes=600)
    member = await world.start(shutdown_grace=timedelta(seconds=1))
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h")
    await world.clock.sleep(5)
    member.replica.stop()
    await world.clock.sleep(20)
    assert names(told) == ["on_start", "on_stop", "finally"]
    assert (told[1].status, told[1].reason) == (None, "shutdown")
    assert len(waited) == 1
    (record,) = world.ends
    assert (record.status, record.hooks) == (ExecutionStatus.INTERRUPTED, {"on_stop": "ValueError: on_stop"})


@in_a_world
async def test_hooks_of_a_stop_are_bounded_so_that_its_record_is_written(world: World) -> None:
    @world.registry.hook("on_stop")
    @world.registry.hook("finally")
    async def last(event: HookEvent) -> None:
        await world.clock.sleep(600)

    world.handler(takes=600)
    member = await world.start(shutdown_grace=timedelta(seconds=1))
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h")
    await world.clock.sleep(5)
    member.replica.stop()
    await world.clock.sleep(1 + STOPPING + 0.5)
    (record,) = world.ends
    assert record.status is ExecutionStatus.INTERRUPTED
    assert record.hooks == {"on_stop": f"it ran longer than {STOPPING:g} s", "finally": "it ran longer than 0 s"}


@in_a_world
async def test_a_stop_while_hooks_are_told_of_an_end_does_not_undo_that_end(world: World) -> None:
    told = listen(world)

    @world.registry.hook("on_success")
    async def last(event: HookEvent) -> None:
        await world.clock.sleep(25)

    world.handler()
    member = await world.start(shutdown_grace=timedelta(seconds=1))
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h")
    await world.clock.sleep(5)
    member.replica.stop()
    await world.clock.sleep(10)
    assert names(told) == ["on_start", "on_success", "finally"]
    (record,) = world.ends
    assert record.status is ExecutionStatus.OK
    assert record.hooks == {"on_success": "it was cut off: the run was stopped"}


@in_a_world
async def test_a_killed_replica_tells_nobody(world: World) -> None:
    told = listen(world)
    world.handler(takes=600)
    member = await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h")
    await world.clock.sleep(5)
    member.kill()
    await world.clock.sleep(2)
    assert names(told) == ["on_start"]


@in_a_world
async def test_a_job_without_hooks_gets_no_wrapper(world: World) -> None:
    listen(world, job="other")
    seen: list[object] = []
    original = Executor._call

    async def spying(self: Executor, active: Any, *rest: Any) -> Any:
        seen.append(active.hooks)
        return await original(self, active, *rest)

    world.handler()
    await world.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executor, "_call", spying)
        await run(world)
    assert seen == [None]


def hooked(registry: Registry) -> HookedRun:
    context = Context(job_id="a", execution_id="U-1", due=NOON, started_at=NOON, attempt=1, metadata={}, payload=None)
    return HookedRun(registry.hooks_of("a"), Caller(threads=1), context)


@virtual_time
async def test_a_pause_and_its_end_are_told_whenever_the_run_says_so() -> None:
    registry, told = Registry(), list[HookEvent]()

    async def note(event: HookEvent) -> None:
        told.append(event)
        raise ValueError(event.hook)

    registry.hook("on_pause")(note)
    registry.hook("on_resume", ignore_error=False)(note)
    run = hooked(registry)
    await run.tell("on_pause")
    with pytest.raises(HookFailed, match="on_resume: ValueError: on_resume"):
        await run.tell("on_resume")
    assert names(told) == ["on_pause", "on_resume"]
    assert run.errors == {"on_pause": "ValueError: on_pause", "on_resume": "ValueError: on_resume"}


@pytest.mark.anyio
async def test_a_plain_function_is_told_in_a_thread() -> None:
    registry, told = Registry(), list[str]()

    @registry.hook("on_pause")
    def note(event: HookEvent) -> None:
        anyio.from_thread.run_sync(lambda: None)  # works in a thread of anyio's alone
        told.append(event.hook)

    await hooked(registry).tell("on_pause")
    assert told == ["on_pause"]


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("on_end", {}, "hook"),
        ("on_start", {"job": "a..b"}, "id"),
        ("on_start", {"timeout": 0}, "timeout"),
        ("on_start", {"timeout": float("inf")}, "timeout"),
    ],
)
def test_a_hook_that_could_never_be_told_is_refused(name: Any, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        Registry().hook(name, **options)
    assert caught.value.field == field
