"""Targets besides handlers, as a replica runs them."""

from datetime import timedelta

from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Once
from natsched.core.targets import Http, Shell
from natsched.daemon.events import HandedBack
from natsched.targets.context import Context
from tests.daemon.harness import World, in_a_world


@in_a_world
async def test_a_replica_that_may_not_run_commands_leaves_them_to_one_that_may(world: World) -> None:
    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), target=Shell(argv=("ls",)))
    await world.clock.sleep(5)
    reasons = {event.reason for event in world.told(HandedBack)}
    assert reasons == {"no commands are run here: `targets.shell.enabled` is false"}
    assert (await world.client.get_job("a")).state == "active"


@in_a_world
async def test_a_target_that_gives_up_ends_the_execution_with_its_reason(world: World) -> None:
    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    target = Http(url="http://127.0.0.1:9/", headers={"A": "${HOME}"})
    await world.client.submit_job("a", Once(at), target=target, retry={"max_attempts": 5})
    await world.clock.sleep(10)
    (record,) = await world.client.executions("a")
    assert record.status is ExecutionStatus.DEAD
    assert (record.error or "").startswith("Abort: ${HOME} is not let out")


@in_a_world
async def test_what_a_handler_returns_is_kept_if_it_can_be(world: World) -> None:
    returned = {"a": {"rows": 3}, "b": object(), "c": "x" * 300_000, "d": None}

    @world.registry.handler("h")
    async def run(ctx: Context) -> object:
        return returned[ctx.job_id]

    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    for job in returned:
        await world.client.submit_job(job, Once(at), handler="h")
    await world.clock.sleep(5)
    found = {record.job: (record.status.value, record.result, record.reason) for record in world.ends}
    assert found == {
        "a": ("ok", {"rows": 3}, None),
        "b": ("ok", None, "its result is not JSON, and is not kept"),
        "c": ("ok", None, "its result has 300,002 bytes, and is not kept"),
        "d": ("ok", None, None),
    }
