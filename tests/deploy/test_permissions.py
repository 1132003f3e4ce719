"""The roles of `deploy/permissions.conf`: each can do its work and needs all that it may."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest
from nats.aio.msg import Msg

from natsched import Interval, NatsRequest
from natsched.core.executions import FINAL, ExecutionStatus, Record
from natsched.jetstream.api import call
from natsched.jetstream.naming import Names
from natsched.jetstream.server import EmbeddedServer
from natsched.jetstream.topology import Kind, Topology
from natsched.protocol.operations import Ensured
from tests.cli.running import Process
from tests.deploy.roles import (
    WORKER,
    allowed,
    client,
    connection,
    matches,
    published,
    run_deployed,
    serving,
    violations,
)
from tests.receiving import receiving

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

APP = """
import anyio
from natsched import Context, Interval, Registry

registry = Registry()

@registry.job("app.tick", Interval(milliseconds=500), webhook="{url}")
async def tick(ctx: Context) -> None: pass

@registry.handler("quick")
async def quick(ctx: Context) -> None: pass

@registry.handler("fatal")
async def fatal(ctx: Context) -> None:
    if ctx.attempt == 1:
        print("fatal begins", flush=True)
        await anyio.sleep(60)
"""
NAMES = Names()
STREAMS = [asset.name for asset in Topology().assets() if asset.kind is Kind.STREAM]
DEADLINE = 30


async def test_each_role_can_do_its_work_and_needs_all_that_it_may(tmp_path: Path) -> None:
    with receiving() as receiver, run_deployed(tmp_path, workers=True) as server:
        receiver.status = 503  # so that all is sent again and compared with the history
        (tmp_path / "served.py").write_text(APP.replace("{url}", receiver.url))
        with serving(tmp_path, server, "replica") as process:  # on an empty server
            assert process.end(signal.SIGTERM).code == 0
        await _loosen(server)
        with serving(tmp_path, server, "replica") as process:  # puts right what was changed
            await _use(server)
            await _ask(server, process)
            await _look(server)
            await _work(server)
            async with client(server, "client") as one:
                await one.ensure_job("app.fatal", Interval(hours=1), handler="fatal")
                execution = (await one.trigger_job("app.fatal")).execution_id
            process.until("fatal begins")
            await _control(server, execution)
            await _see(server, "replica", "$JS.ACK.SCHEDULER.scheduler-webhooks.>")
            process.popen.kill()
        await _resume(server, receiver.url)
        await anyio.to_thread.run_sync(_with_second_acknowledgements, server)
        await _lose(server, "app.hourly")
        with serving(tmp_path, server, "runner") as process:
            await _see(server, "runner", "$JS.API.STREAM.MSG.DELETE.SCHEDULER")
            await _see(server, "runner", "$JS.ACK.*.*.SCHEDULER.scheduler-webhooks.>")
            await _see(server, "runner", "$JS.API.DIRECT.GET.KV_SCHEDULER_EXECUTIONS")
            record = await _ended(server, "app.fatal", execution)
            assert process.end(signal.SIGTERM).code == 0
        assert (record.status, record.attempt) == (ExecutionStatus.OK, 2)
        assert violations(server) == []
        said = published(server)
    assert _unused("REPLICA_PUBLISH", said["replica"] | said["runner"]) == []
    assert _unused("CLIENT", said["client"]) == []
    assert _unused("READER", said["reader"]) == []


async def _loosen(server: EmbeddedServer) -> None:
    """Change something of each stream, as an operator may by mistake."""
    async with connection(server, "admin") as admin:
        for stream in STREAMS:
            config = (await call(admin, f"STREAM.INFO.{stream}"))["config"]
            await call(admin, f"STREAM.UPDATE.{stream}", {**config, "allow_direct": False})


async def _use(server: EmbeddedServer) -> None:
    """Do all that a client can."""
    async with client(server, "client") as one:
        assert await one.ensure_job("app.hourly", Interval(hours=1), handler="quick") is Ensured.CREATED
        assert await one.ensure_job("app.hourly", Interval(hours=2), handler="quick") is Ensured.UPDATED
        await one.submit_job("app.extra", Interval(hours=1), handler="quick", unique_key="extra")
        await one.pause_job("app.extra")
        await one.resume_job("app.extra")
        await one.remove_job("app.extra")
        record = await (await one.trigger_job("app.hourly")).wait(DEADLINE)
        assert record.status is ExecutionStatus.OK
        assert len(await one.replicas()) == 1
        await one.backlog()
        await _ask_who_it_is(server, "client")
        assert {job.id for job in (await one.list_jobs("app")).jobs} == {"app.hourly", "app.tick"}
        with anyio.fail_after(DEADLINE):  # its record is there before it is out of the job's document
            while await one.executions("app.hourly") != [record]:  # noqa: ASYNC110 - nothing sets an event
                await anyio.sleep(0.05)


async def _ask(server: EmbeddedServer, process: Process) -> None:
    """Follow events over HTTP, for which the replica follows the history."""
    ready = next(json.loads(line) for line in process.seen if '"http_ready"' in line)
    async with httpx.AsyncClient(base_url=ready["url"]) as http:
        assert (await http.get("/readyz")).json() == {"ok": True, "reasons": []}
        async with http.stream("GET", "/api/v1/events"):
            await _see(server, "replica", "$JS.API.CONSUMER.MSG.NEXT.KV_SCHEDULER_EXECUTIONS.*")
    await _see(server, "replica", "$JS.API.CONSUMER.DELETE.KV_SCHEDULER_EXECUTIONS.*")


async def _control(server: EmbeddedServer, execution: str) -> None:
    """Tell what runs to wait and to go on, and look at it."""
    async with client(server, "client") as one:
        await one.pause_execution("app.fatal", execution)
        await one.resume_execution("app.fatal", execution)
    async with client(server, "reader") as one:
        (running,) = await one.executions("app.fatal")
        assert running.status is ExecutionStatus.RUNNING


async def _look(server: EmbeddedServer) -> None:
    """Do all that a reader can."""
    async with client(server, "reader") as one:
        assert {job.id for job in (await one.list_jobs()).jobs} == {"app.hourly", "app.tick"}
        assert (await one.get_job("app.hourly")).handler == "quick"
        assert len(await one.executions("app.hourly")) == 1
        assert len(await one.replicas()) == 1
        await one.backlog()
    for role in ("replica", "reader"):
        await _ask_who_it_is(server, role)


async def _ask_who_it_is(server: EmbeddedServer, role: str) -> None:
    """Ask what the doctor asks; its other questions are those of a client."""
    async with connection(server, role) as one:
        assert json.loads((await one.request("$SYS.REQ.USER.INFO")).data)["data"]["user"] == role


async def _work(server: EmbeddedServer) -> None:
    """Do all that a worker can: answer, check in, be told to stop."""
    async with connection(server, WORKER) as worker, client(server, "client") as one:
        heard = anyio.Event()
        asked: list[Msg] = []

        async def answer(request: Msg) -> None:
            asked.append(request)
            await worker.nc.publish((request.headers or {})["Natsched-Progress"], b'{"text": "half"}')
            if len(asked) > 1:
                await worker.nc.publish(request.reply, b"1")

        async def stop(_: Msg) -> None:
            heard.set()

        await worker.nc.subscribe("scheduler-cancel.>", cb=stop)
        await worker.nc.subscribe("reports.render", queue="workers", cb=answer)
        await worker.nc.flush()
        target = NatsRequest(subject="reports.render")
        await one.ensure_job("app.asking", Interval(hours=1), target=target, timeout=1)
        record = await (await one.trigger_job("app.asking")).wait(DEADLINE)
        assert record.status is ExecutionStatus.TIMED_OUT
        with anyio.fail_after(DEADLINE):
            await heard.wait()
        record = await (await one.trigger_job("app.asking")).wait(DEADLINE)
        assert (record.status, record.result) == (ExecutionStatus.OK, 1)
        await one.remove_job("app.asking")


async def _resume(server: EmbeddedServer, webhook: str) -> None:
    """Without a replica: replace what is overdue, and resume what a dead one was running."""
    async with client(server, "client") as one:
        with anyio.fail_after(DEADLINE):
            while not _has_said(server, "client", f"{NAMES.prefix}.webhook.>"):  # something has to be overdue
                await anyio.sleep(0.3)
                generation = (await one.get_job("app.tick")).generation
                schedule = Interval(milliseconds=100 + generation)
                await one.ensure_job("app.tick", schedule, handler="app.tick", webhook=webhook)
            while not _has_said(server, "client", "scheduler.retry.>"):  # the dead one's lease has to end
                await anyio.sleep(0.3)
                await one.resume_job("app.fatal")


def _with_second_acknowledgements(server: EmbeddedServer) -> None:
    server.stop()
    server.options = replace(server.options, extra=f"{server.options.extra}\nfeature_flags {{js_ack_fc_v2: true}}")
    server.start()


async def _lose(server: EmbeddedServer, job: str) -> None:
    """Lose what is or is about to be delivered, and put something that is no hint in place of a job's schedule."""
    headers = {
        "Nats-Schedule": "@at 2099-01-01T00:00:00Z",
        "Nats-Schedule-Target": f"{NAMES.prefix}.delivery.default.plan.{job}",
    }
    async with connection(server, "admin") as admin:
        for subjects in (f"{NAMES.prefix}.retry.>", NAMES.deliveries):
            await call(admin, f"STREAM.PURGE.{NAMES.stream}", {"filter": subjects})
        await admin.request(f"{NAMES.prefix}.schedule.{job}", b"?", headers=headers)


async def _see(server: EmbeddedServer, role: str, subject: str) -> None:
    with anyio.fail_after(DEADLINE):
        while True:
            if _has_said(server, role, subject):
                return
            await anyio.sleep(0.1)


async def _ended(server: EmbeddedServer, job: str, execution: str) -> Record:
    """Wait for the end of an execution, as a client does."""
    async with client(server, "client") as one:
        with anyio.fail_after(DEADLINE):
            while True:
                for record in await one.executions(job, execution):
                    if record.status in FINAL:
                        return record
                await anyio.sleep(0.1)


def _has_said(server: EmbeddedServer, role: str, pattern: str) -> bool:
    return any(matches(pattern, subject) for subject in published(server)[role])


def _unused(name: str, subjects: set[str]) -> list[str]:
    """Return which of a list of permissions nobody used."""
    patterns = allowed(name)
    assert patterns
    return [pattern for pattern in patterns if not any(matches(pattern, subject) for subject in subjects)]
