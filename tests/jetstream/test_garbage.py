"""What others write to a real server, past all clients: bytes that are no UTF-8, names of any kind, the largest."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from natsched import Client, Context, Interval, Registry, embed
from natsched.config import load
from natsched.core.ids import MAX_ID
from natsched.errors import InvalidJob
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer
from tests.garbage import listening
from tests.servers import options_for, run_server

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

JOBS, RECORDS, LOCKS = (f"$KV.SCHEDULER_{name}.".encode() for name in ("JOBS", "EXECUTIONS", "LOCKS"))
DELIVERY = b"scheduler.delivery.default."
LARGEST = 1024 * 1024
PERIOD = timedelta(milliseconds=200)
DEADLINE = 30
AT = "2026-01-01T12:00:00Z"


def document(job: str, *, status: dict[str, Any] | None = None, **spec: Any) -> bytes:
    """Return the document of a job that runs each second."""
    schedule = {"kind": "interval", "period": 1.0}
    plan = {"n": 1, "due": AT}
    return json.dumps(
        {
            "v": 1,
            "id": job,
            "uid": "U",
            "spec": {"schedule": schedule, "anchor": AT, "handler": "h", **spec},
            "status": {"plan": plan, **(status or {})},
        }
    ).encode()


def frame(subject: bytes, data: bytes = b"", headers: bytes | None = None) -> bytes:
    """Return what a client sends to publish; the headers as they are."""
    if headers is None:
        return b"PUB %b %d\r\n%b\r\n" % (subject, len(data), data)
    block = b"NATS/1.0\r\n%b\r\n" % headers
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(block), len(block) + len(data), block, data)


def in_stream() -> list[bytes]:
    hint = json.dumps({"v": 1, "uid": "U", "rev": 1, "at": AT, "n": 1}).encode()
    far = b"Nats-Schedule: @at 2099-01-01T00:00:00Z\r\nNats-Schedule-Target: %bplan.a\r\n" % DELIVERY
    return [
        frame(DELIVERY + b"plan.\xff", hint),
        frame(DELIVERY + b"x", hint),
        frame(DELIVERY + b"plan.a!b", hint),
        frame(DELIVERY + b"plan.*", hint),
        frame(DELIVERY + b"plan.a", b"\xff"),
        frame(DELIVERY + b"plan.a", hint.replace(b'"v": 1', b'"v": 2')),
        frame(DELIVERY + b"plan.a", hint, b"\xff: \xff\r\nNo colon\r\nNats-Schedule: \xff\r\n"),
        frame(DELIVERY + b"plan.large", b"x" * LARGEST),
        frame(b"scheduler.schedule.\xff", hint, far),
        frame(b"scheduler.schedule.plain", hint),
        frame(b"scheduler.schedule.a", b"\xff", far),
        frame(b"scheduler.webhook.\xff", b"{"),
    ]


def in_buckets(lease: bytes) -> list[bytes]:
    running = {"a b": {"token": 1, "due": AT, "lease": "x y"}}
    control = b"control" + lease.removeprefix(b"lease")
    return [
        frame(JOBS + b"a\xff", document("a")),
        frame(JOBS + b"a!b", document("a!b")),
        frame(JOBS + b".".join([b"a"] * 300), b"{}"),
        frame(JOBS + b"headers", b"{}", b"X: \xff\xfe\r\nKV-Operation: \xff\r\n"),
        frame(JOBS + b"large", b" " * LARGEST),
        *(frame(JOBS + b"queue%d" % n, document(f"queue{n}", queue=q)) for n, q in enumerate(("a b", ">", ""))),
        frame(JOBS + b"running", document("running", status={"running": running})),
        frame(JOBS + b"manual", document("manual", status={"manual": {">": {"at": AT}}})),
        frame(JOBS + b"early", document("early", status={"plan": {"n": 1, "due": "0001-01-01T00:00:00Z"}})),
        frame(JOBS + b"late", document("late", status={"plan": {"n": 1, "due": "9999-12-31T23:59:59Z"}})),
        frame(JOBS + b"uid", document("uid").replace(b'"U"', b'"a\\r\\nb"')),
        frame(JOBS + b"after", document("after", schedule={"kind": "after", "jobs": ["a b", ">", ""]})),
        frame(LOCKS + b"lease.x.1", b"\xff"),
        frame(LOCKS + b"lease.y.1", b"[" * 100_000),
        frame(LOCKS + b"lease.\xff.1", b"{}"),
        frame(LOCKS + control),
        frame(LOCKS + control + b".a!b"),
        frame(LOCKS + control + b".\xff"),
        frame(RECORDS + b"x", b"\xff"),
        frame(RECORDS + b"ok.\xff.1", b"{}"),
        frame(RECORDS + b"ok.x.1", b"{}"),
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with run_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def raw(server: EmbeddedServer) -> AsyncIterator[ByteStream]:
    """Give a connection to the server that says nothing by itself."""
    async with await anyio.connect_tcp("127.0.0.1", int(server.url.rpartition(":")[2])) as stream:
        await stream.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n')
        yield stream


async def send(stream: ByteStream, frames: list[bytes]) -> None:
    """Send, and wait until the server has taken all of it."""
    await stream.send(b"".join(frames) + b"PING\r\n")
    said = b""
    with anyio.fail_after(DEADLINE):
        while b"PONG" not in said:
            said += await stream.receive()
    assert b"-ERR" not in said


async def test_whatever_others_write_a_neighbour_loses_nothing_and_the_queue_is_empty(server: EmbeddedServer) -> None:
    registry, dues = Registry(), []

    @registry.handler("h")
    async def note(ctx: Context) -> None:
        if ctx.job_id == "ok":
            dues.append(ctx.due)

    hasty = {"scheduler.reconciler_interval": "1s", "scheduler.reconciler_grace_period": "1s", "replica.name": "r1"}
    settings = load(None, {"nats.servers": [server.url], **hasty}, {})
    with listening() as told:
        async with (
            embed(registry, settings=settings) as client,
            connect(options_for(server)) as admin,
            raw(server) as one,
        ):
            await client.ensure_job("ok", Interval(PERIOD), handler="h", history="none")
            info = await call(admin, "STREAM.INFO.KV_SCHEDULER_LOCKS", {"subjects_filter": ">"})
            (lease,) = (key[len(LOCKS) :] for key in info["state"]["subjects"] if "lease.r1" in key)
            await send(one, [*in_stream(), *in_buckets(lease.encode())])
            until = len(dues) + 20  # four seconds, which are as many sweeps
            with anyio.fail_after(DEADLINE):
                while len(dues) < until or await _left(admin):  # noqa: ASYNC110 - nothing sets an event
                    await anyio.sleep(0.1)
            assert [later - due for due, later in pairwise(dues)] == [PERIOD] * (len(dues) - 1)
            assert {job.id for job in (await client.list_jobs()).jobs} == {"ok", "early", "late"}
            assert all(record.job in ("early", "late") for record in await client.executions())
            await _use_the_longest(client)
    assert told.unforeseen == []
    assert {"bad_hint", "bad_notice", "record_unreadable"} <= told.actions


async def _left(admin: Any) -> list[str]:
    """Return what lies among the deliveries and is not the neighbour's."""
    info = await call(admin, "STREAM.INFO.SCHEDULER", {"subjects_filter": "scheduler.delivery.default.>"})
    known = {f"scheduler.delivery.default.plan.{job}" for job in ("ok", "early")}
    return sorted((info["state"].get("subjects") or {}).keys() - known)


async def _use_the_longest(client: Client) -> None:
    """Use ids as long and as deep as they may be, and payloads up to what the server takes."""
    for job in ("x" * MAX_ID, ".".join(["x"] * (MAX_ID // 2))):
        await client.ensure_job(job, Interval(hours=1), handler="h", payload="x" * 60_000)
        record = await (await client.trigger_job(job)).wait(DEADLINE)
        assert await client.executions(job, record.execution) == [record]
        assert await client.executions(None, limit=1) == [record]
        assert [one.id for one in (await client.list_jobs(job)).jobs] == [job]
        await client.remove_job(job)
    await client.ensure_job("full", Interval(hours=1), handler="none")
    for _ in range(LARGEST // 60_000):
        await client.trigger_job("full", "x" * 60_000)
    with pytest.raises(InvalidJob, match="payload: its document has"):
        await client.trigger_job("full", "x" * 60_000)
