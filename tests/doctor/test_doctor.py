"""`natsched doctor` on a real server: well when all is well, and each thing that is broken is found and named."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from natsched.client.client import Client
from natsched.client.connecting import connect
from natsched.client.versions import versions
from natsched.clock import SystemClock
from natsched.config import Settings, load
from natsched.core.hints import PlanHint
from natsched.core.jobs import JobId
from natsched.core.schedules import Interval
from natsched.doctor import Finding, Level, examine
from natsched.doctor.contents import strays
from natsched.doctor.patient import Patient
from natsched.embedding import embed
from natsched.jetstream.api import call
from natsched.jetstream.connection import Connection, ConnectionOptions
from natsched.jetstream.server import EmbeddedServer
from natsched.memory import MemoryBackend
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from natsched.wiring import open_connection, topology_of
from tests.cli.running import finished
from tests.deploy.roles import run_deployed, variables
from tests.servers import run_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with run_server(tmp_path, extra="http: 127.0.0.1:-1") as one:
        yield one


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    return load(None, {"nats.servers": [server.url], "replica.name": "r1"})


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[Client]:
    """Hold a replica up that reconciles, with one job."""
    registry = Registry()
    registry.handler("h")(lambda ctx: None)
    async with embed(registry, settings=settings) as client:
        await client.ensure_job("a", Interval(seconds=60), handler="h")
        yield client


async def found(settings: Settings, *, at_least: Level = Level.WARNING) -> dict[str, Finding]:
    levels = list(Level)
    worse = levels[levels.index(at_least) :]
    return {one.check: one for one in await examine(settings) if one.level in worse}


async def test_a_healthy_set_up_is_well(settings: Settings) -> None:
    async with at_work(settings) as client:
        with anyio.fail_after(10):
            while problems := await found(settings):  # until the replica reconciles
                assert set(problems) == {"replicas"}, problems
        checks = {one.check: one.text for one in await examine(settings)}
        await client.ensure_job("b", Interval(seconds=3600), queue="lonely")
        assert (await found(settings))["queues"].text == "no replica serves lonely (1 jobs)"
        async with open_connection(settings) as connection:
            about = b'{"replica": "old", "queues": {"default": 5}, "natsched": "0.0.1"}'
            await connection.request("$KV.SCHEDULER_LOCKS.lease.old.X", about)
        assert "0.0.1 on old" in (await found(settings))["natsched"].text
        assert checks["natsched"] == f"version {versions()['natsched']} everywhere"
    assert "r1 reconciles" in checks["replicas"]
    assert checks["jobs"] == "1 can be read"
    assert "replica and client and reader" in checks["permissions"]
    assert checks["stream SCHEDULER"] == "as wanted, 1 messages"


async def test_an_empty_server_wants_a_replica_and_stays_empty(settings: Settings) -> None:
    problems = await found(settings)
    assert {one.level for one in problems.values()} == {Level.PROBLEM}
    assert "stream SCHEDULER" in problems
    assert "natsched serve" in str(problems["stream SCHEDULER"].cure)
    async with open_connection(settings) as connection:
        assert (await call(connection, "INFO"))["streams"] == 0


async def test_nobody_there_is_a_finding(tmp_path: Path) -> None:
    quick = load(None, {"nats.servers": ["nats://127.0.0.1:1"], "scheduler.jetstream_ready_timeout": "1s"})
    (finding,) = await examine(quick)
    assert (finding.check, finding.level) == ("connection", Level.PROBLEM)


async def test_what_others_broke_is_named_with_its_cure(settings: Settings) -> None:
    async with connect(settings=settings) as client, open_connection(settings) as connection:
        for name in "abc":
            await client.ensure_job(name, Interval(seconds=3600), handler="h")
        await _break(connection)
        problems = await found(settings)
    assert problems.keys() == {
        "stream SCHEDULER",
        "consumers",
        "replicas",
        "jobs",
        "schedules",
        "stray schedules",
    }
    texts = {name: one.text for name, one in problems.items()}
    assert "duplicate_window is 60000000000, wanted is 120000000000" in texts["stream SCHEDULER"]
    assert texts["consumers"].startswith("thief of SCHEDULER is not natsched's")
    assert texts["jobs"].startswith("b cannot be read")
    assert texts["schedules"] == "1 of 2 jobs: plan without a message"
    assert texts["stray schedules"] == "1 of 2: schedule without a job"
    assert all(one.cure for one in problems.values())


async def _break(connection: Connection) -> None:
    info = await call(connection, "STREAM.INFO.SCHEDULER")
    await call(connection, "STREAM.UPDATE.SCHEDULER", {**info["config"], "duplicate_window": 60_000_000_000})
    thief = {"durable_name": "thief", "ack_policy": "explicit", "filter_subject": "scheduler.schedule.none"}
    await call(connection, "CONSUMER.CREATE.SCHEDULER.thief", {"stream_name": "SCHEDULER", "config": thief})
    await connection.request("$KV.SCHEDULER_JOBS.b", b"no document")
    schedule = await call(connection, "STREAM.MSG.GET.SCHEDULER", {"last_by_subj": "scheduler.schedule.c"})
    await call(connection, "STREAM.MSG.DELETE.SCHEDULER", {"seq": schedule["message"]["seq"]})
    await call(connection, "STREAM.PURGE.KV_SCHEDULER_JOBS", {"filter": "$KV.SCHEDULER_JOBS.a"})


async def test_a_reader_hears_what_it_may_not_ask(tmp_path: Path) -> None:
    with run_deployed(tmp_path) as server:
        for command, role in ((["job", "list"], "replica"), (["doctor", "--json"], "reader")):
            ran = finished(tmp_path, *command, limit=30, **variables(server, role))
    said = json.loads(ran.out)
    levels = {one["check"]: one["level"] for one in said["findings"]}
    assert (ran.code, levels["replicas"], levels["stream SCHEDULER"]) == (1, "problem", "ok"), said
    assert {name for name, level in levels.items() if level == "unknown"} == {"sync_interval", "strangers"}
    texts = {one["check"]: one["text"] for one in said["findings"]}
    assert texts["permissions"] == "reader of account NATSCHED may act as reader"


async def test_the_monitoring_port_tells_how_often_the_server_syncs(
    server: EmbeddedServer, settings: Settings
) -> None:
    port = next(
        line.rpartition(":")[2].strip() for line in server.log_path.read_text().splitlines() if "http monitor" in line
    )
    findings = {one.check: one for one in await examine(settings, monitoring=f"http://127.0.0.1:{port}")}
    assert findings["sync_interval"].level is Level.WARNING
    assert "every 120 s" in findings["sync_interval"].text
    nobody = {one.check: one for one in await examine(settings, monitoring="http://127.0.0.1:1")}
    assert nobody["durability"].level is Level.PROBLEM


async def test_deliveries_that_nobody_takes_are_told_of(settings: Settings) -> None:
    async with connect(settings=settings) as client:
        await client.ensure_job("a", Interval(seconds=1), handler="h")
        with anyio.fail_after(10):
            while "deliveries" not in await found(_without_grace(settings)):
                pass


async def test_what_runs_for_long_does_not_wait_for_a_replica(settings: Settings) -> None:
    registry, begun, end = Registry(), anyio.Event(), anyio.Event()

    @registry.handler("long")
    async def long(ctx: Context) -> None:
        begun.set()
        await end.wait()

    async with embed(registry, settings=settings) as client:
        await client.ensure_job("a", Interval(hours=1), handler="long")
        await client.trigger_job("a")
        await begun.wait()
        checks = {one.check: one for one in await examine(_without_grace(settings))}
        end.set()
    assert (checks["deliveries"].level, checks["deliveries"].text) == (Level.OK, "nothing waits for a replica")


async def test_a_job_whose_handler_no_replica_has_is_named_with_the_cure(settings: Settings) -> None:
    async with at_work(settings) as client:
        await client.ensure_job("typo", Interval(milliseconds=200), handler="hh")
        with anyio.fail_after(10):
            while (seen := await found(_without_grace(settings))).get("deliveries") is None:
                pass
    assert seen["deliveries"].text.endswith("; not begun: typo")
    assert "no_handler" in str(seen["deliveries"].cure)


async def test_a_schedule_that_the_server_does_not_fire_is_stuck(settings: Settings) -> None:
    clock = SystemClock()
    async with MemoryBackend(clock, firing_delay=timedelta(hours=1)) as backend:
        hint = PlanHint(job=JobId("a"), uid="U", n=1, start=clock.now(), revision=1)
        await backend.hints.schedule(hint, clock.now(), expected=0)
        patient = Patient(
            settings=_without_grace(settings),
            connection=Connection(ConnectionOptions()),
            backend=backend,
            topology=topology_of(settings),
            clock=clock,
            monitoring=None,
        )
        findings = {one.check: one async for one in strays(patient)}
    assert findings["stuck schedules"].text == "1 of 1 are past and were not fired"


def _without_grace(settings: Settings) -> Settings:
    scheduler = settings.scheduler.model_copy(update={"reconciler_grace_period": timedelta(0)})
    return settings.model_copy(update={"scheduler": scheduler})
