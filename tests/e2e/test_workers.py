"""The sample workers, each a process of its own, asked by a real replica."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import JsonValue

from natsched import Client, ExecutionStatus, Interval, NatsRequest, Publish, Record, RetryPolicy
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.workers import WorkerCaller
from tests.e2e.processes import Fleet, until
from tests.e2e.workers import SUBJECT, Crew, crew
from tests.factories import NOON
from tests.jetstream.opening import open_backend
from tests.servers import options_for
from tests.targets.attention import Attentive

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

LIMIT = 20
SOON_AGAIN = RetryPolicy(max_attempts=2, backoff="fixed", base=0.1)


@pytest.fixture(params=["python", "javascript"])
def workers(request: pytest.FixtureRequest, tmp_path: Path, server: EmbeddedServer) -> Iterator[Crew]:
    with crew(tmp_path, server.url, request.param) as hired:
        yield hired


async def run(client: Client, job: str, payload: Any = None, **options: Any) -> Record:
    """Run a job now and return the record of its end."""
    target = options.pop("target", NatsRequest(subject=SUBJECT))
    await client.ensure_job(job, Interval(hours=1), target=target, payload=payload, **options)
    return await (await client.trigger_job(job)).wait(LIMIT)


async def test_what_a_worker_answers_is_in_the_record(client: Client, replicas: Fleet, workers: Crew) -> None:
    await replicas.start("a")
    (worker,) = await workers.start()
    done = await run(client, "done", {"pages": 2, "seconds": 0.05})
    assert (done.status, done.result) == (ExecutionStatus.OK, {"pages": 2, "worker": worker.popen.pid})
    assert done.check_in is not None
    assert (done.check_in.text, done.check_in.data) == ("page 2 of 2", {"page": 2})
    jammed = await run(client, "jammed", {"pages": 1, "seconds": 0, "printer": "jammed"}, retry=SOON_AGAIN)
    assert (jammed.status, jammed.attempt) == (ExecutionStatus.DEAD, 2)
    assert jammed.error == "WorkerFailed: the printer is jammed"
    refused = await run(client, "refused", {"pages": "two"}, retry=SOON_AGAIN)
    assert (refused.status, refused.attempt) == (ExecutionStatus.DEAD, 1)
    assert (refused.error or "").startswith("Abort: pages has to be a number, not ")
    bare = await run(client, "bare")
    assert (bare.status, bare.attempt) == (ExecutionStatus.DEAD, 1)


async def test_a_worker_is_told_when_nobody_waits_any_more(client: Client, replicas: Fleet, workers: Crew) -> None:
    (a,) = await replicas.start("a", NATSCHED_REPLICA__SHUTDOWN_GRACE="0s")
    (worker,) = await workers.start()
    late = await run(client, "late", {"pages": 1, "seconds": 60}, timeout=1)
    assert late.status is ExecutionStatus.TIMED_OUT
    await worker.said(f"cancelled {late.execution} 1", LIMIT)
    target = NatsRequest(subject=SUBJECT)
    await client.ensure_job("long", Interval(hours=1), target=target, payload={"pages": 1, "seconds": 60})
    execution = (await client.trigger_job("long")).execution_id
    await worker.said(f"began {execution} 1", LIMIT)
    cancelled = await (await client.cancel_execution("long", execution)).wait(LIMIT)
    assert cancelled.status is ExecutionStatus.CANCELLED
    await worker.said(f"cancelled {execution} 1", LIMIT)
    execution = (await client.trigger_job("long")).execution_id
    await worker.said(f"began {execution} 1", LIMIT)
    a.send(signal.SIGTERM)
    await worker.said(f"cancelled {execution} 1", LIMIT)
    assert await a.ended() == 0


async def test_where_a_worker_dies_another_one_answers_the_next_attempt(
    client: Client, replicas: Fleet, workers: Crew
) -> None:
    await replicas.start("a")
    one, two = await workers.start(2)
    target = NatsRequest(subject=SUBJECT, heartbeat=1)
    order: JsonValue = {"pages": 8, "seconds": 0.25}
    await client.ensure_job("a", Interval(hours=1), target=target, payload=order, retry=SOON_AGAIN, timeout=60)
    handle = await client.trigger_job("a")
    began = f"began {handle.execution_id} 1"
    asked = await until(lambda: next((each for each in (one, two) if each.has_said(began)), None), began, LIMIT)
    asked.kill()
    other = two if asked is one else one
    record = await handle.wait(LIMIT)
    assert (record.status, record.attempt) == (ExecutionStatus.OK, 2)
    assert record.result == {"pages": 8, "worker": other.popen.pid}
    first = next(one for one in await client.executions("a") if one.attempt == 1)
    assert (first.error or "").startswith("WorkerSilent: its worker on 'reports.render' neither checked in")


async def test_a_worker_says_how_far_it_is_and_stops_at_the_deadline(server: EmbeddedServer, workers: Crew) -> None:
    (worker,) = await workers.start()
    assert (await asked(server, control := Attentive(), {"pages": 2, "seconds": 0})).result is not None
    assert control.told == [("page 1 of 2", {"page": 1}), ("page 2 of 2", {"page": 2})]
    deadline = datetime.now(UTC) + timedelta(seconds=0.5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked, server, Attentive(), {"pages": 1, "seconds": 60}, deadline)
        await worker.said("cancelled U-1 2", LIMIT / 2)  # nobody told it: the run's own limit is further away
        tasks.cancel_scope.cancel()


async def test_a_timeout_too_has_another_worker_answer(
    client: Client, replicas: Fleet, server: EmbeddedServer, tmp_path: Path
) -> None:
    await replicas.start("a")
    with crew(tmp_path, server.url, "python") as workers:
        (one,) = await workers.start()
        order: JsonValue = {"pages": 1, "seconds": 0.5}
        target = NatsRequest(subject=SUBJECT)
        await client.ensure_job("a", Interval(hours=1), target=target, payload=order, retry=SOON_AGAIN, timeout=3)
        handle = await client.trigger_job("a")
        await one.said(f"began {handle.execution_id} 1", LIMIT)
        one.kill()
        (two,) = await workers.start()
        record = await handle.wait(LIMIT)
    assert (record.status, record.attempt) == (ExecutionStatus.OK, 2)
    assert record.result == {"pages": 1, "worker": two.popen.pid}
    first = next(one for one in await client.executions("a") if one.attempt == 1)
    assert first.status is ExecutionStatus.RETRYING
    assert first.error == "it ran longer than 3 s"


async def test_where_nobody_listens_the_attempt_fails_at_once(client: Client, replicas: Fleet) -> None:
    await replicas.start("a")
    record = await run(client, "a", timeout=60, retry={"max_attempts": 2, "base": 0.1, "retry_on": ["NoWorker"]})
    assert (record.status, record.attempt) == (ExecutionStatus.DEAD, 2)
    assert record.error == "NoWorker: nobody listens on 'reports.render': is a worker for it up?"
    assert (record.duration or 60) < 2


async def test_a_message_is_stored_in_its_stream_and_not_twice(
    client: Client, replicas: Fleet, server: EmbeddedServer
) -> None:
    await replicas.start("a")
    target = Publish(subject="orders.expired")
    missing = await run(client, "a", {"order": 7}, target=target)
    assert (missing.error or "").startswith("NotStored: no stream took a message on 'orders.expired'")
    async with connect(options_for(server)) as connection:
        await call(connection, "STREAM.CREATE.ORDERS", {"name": "ORDERS", "subjects": ["orders.>"]})
        stored = await run(client, "a", {"order": 7}, target=target)
        assert stored.result == {"stream": "ORDERS", "seq": 1, "duplicate": False}
        message = await connection.js.get_msg("ORDERS", 1)
        assert (message.data, (message.headers or {})["Nats-Msg-Id"]) == (b'{"order": 7}', stored.execution)


async def test_a_request_to_a_subject_of_a_stream_is_given_up(
    client: Client, replicas: Fleet, server: EmbeddedServer
) -> None:
    await replicas.start("a")
    async with connect(options_for(server)) as connection:
        await call(connection, "STREAM.CREATE.REPORTS", {"name": "REPORTS", "subjects": ["reports.>"]})
    record = await run(client, "a", retry=SOON_AGAIN)
    assert (record.status, record.attempt) == (ExecutionStatus.DEAD, 1)
    assert "'reports.render' belongs to the stream 'REPORTS'" in (record.error or "")


async def asked(server: EmbeddedServer, control: Attentive, payload: Any, deadline: datetime | None = None) -> Ended:
    """Ask as a replica does, with an ear for check-ins."""
    context = Context(
        job_id="a",
        execution_id="U-1",
        due=NOON,
        started_at=NOON,
        attempt=2,
        metadata={},
        payload=payload,
        deadline=deadline,
        control=control,
    )
    async with open_backend(server) as opened:
        caller = WorkerCaller(opened.backend.messages)
        return await Caller(threads=1).call(caller.handler(NatsRequest(subject=SUBJECT)), context, timeout=LIMIT)
