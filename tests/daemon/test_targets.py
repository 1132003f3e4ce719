"""Targets besides handlers, as a replica runs them."""

from datetime import datetime, timedelta

from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Once
from natsched.core.targets import Http, NatsRequest, Publish, Shell
from natsched.daemon.events import HandedBack
from natsched.memory.messages import Heard
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
    target = Http(url="http://127.0.0.1:9/", headers={"A": "${NATSCHED_SECRET_UNSET}"})
    await world.client.submit_job("a", Once(at), target=target, retry={"max_attempts": 5})
    await world.clock.sleep(10)
    (record,) = await world.client.executions("a")
    assert record.status is ExecutionStatus.DEAD
    assert (record.error or "").startswith("Abort: ${NATSCHED_SECRET_UNSET} is not set")


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


@in_a_world
async def test_a_worker_that_fell_silent_is_replaced_by_the_next_attempt(world: World) -> None:
    await world.start()
    messages = world.backend.messages
    asked: list[Heard] = []
    stopped: list[str] = []

    def work(heard: Heard) -> None:
        asked.append(heard)
        if len(asked) == 2:
            messages.publish(heard.reply, b'{"rows": 3}')

    messages.subscribe("reports.render", work, queue="workers")
    messages.subscribe("scheduler-cancel.>", lambda heard: stopped.append(heard.subject))
    at = world.clock.now() + timedelta(seconds=2)
    target = NatsRequest(subject="reports.render", heartbeat=30)
    retry = {"max_attempts": 3, "retry_on": ["WorkerSilent"]}
    await world.client.submit_job("a", Once(at), target=target, retry=retry, timeout=90)
    await world.clock.sleep(60)
    first, second = world.ends
    assert (first.status, first.attempt) == (ExecutionStatus.RETRYING, 1)
    assert (second.status, second.attempt, second.result) == (ExecutionStatus.OK, 2, {"rows": 3})
    assert stopped == [f"scheduler-cancel.{first.execution}.1"]
    assert [heard.headers["natsched-attempt"] for heard in asked] == ["1", "2"]
    assert len({heard.headers["natsched-execution"] for heard in asked}) == 1
    deadlines = [datetime.fromisoformat(heard.headers["natsched-deadline"]) for heard in asked]
    assert deadlines == [record.started_at + timedelta(seconds=90) for record in world.ends if record.started_at]


@in_a_world
async def test_a_worker_is_told_when_its_replica_shuts_down_and_is_asked_again_by_another(world: World) -> None:
    one = await world.start("one", shutdown_grace=timedelta(0))
    messages = world.backend.messages
    asked: list[Heard] = []
    stopped: list[str] = []
    messages.subscribe("reports.render", asked.append)
    messages.subscribe("scheduler-cancel.>", lambda heard: stopped.append(heard.subject))
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), target=NatsRequest(subject="reports.render"))
    await world.clock.sleep(5)
    await world.start("two")
    one.replica.stop()
    await world.clock.sleep(20)
    first, second = asked
    assert stopped == [first.headers["natsched-cancel"]]
    messages.publish(second.reply, b"1")
    await world.clock.sleep(1)
    assert (world.ends[-1].status, world.ends[-1].replica, world.ends[-1].result) == (ExecutionStatus.OK, "two", 1)


@in_a_world
async def test_a_message_is_stored_once_though_its_first_attempt_failed(world: World) -> None:
    await world.start()
    at = world.clock.now() + timedelta(seconds=2)
    target = Publish(subject="orders.expired")
    await world.client.submit_job(
        "a", Once(at), target=target, payload={"order": 7}, retry={"max_attempts": 2, "base": 5}
    )
    await world.clock.sleep(4)
    log = world.backend.messages.add_stream("ORDERS", "orders.*")
    await world.clock.sleep(10)
    first, second = world.ends
    assert (first.error or "").startswith("NotStored: ")
    assert second.result == {"stream": "ORDERS", "seq": 1, "duplicate": False}
    assert [message.data for message in log.messages] == [b'{"order": 7}']
