"""The NATS service on a real server, asked as any client in any language would."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import nats
import pytest
from nats.aio.client import Client as Nats

from natsched import Context, Registry
from natsched.config import load
from natsched.daemon.building import build_replica
from natsched.jetstream.server import EmbeddedServer
from natsched.service.offering import offered
from natsched.service.schemas import Schemas
from natsched.web.api import OPERATIONS
from natsched.wiring import open_backend
from tests.servers import run_server

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
PREFIX = "acme"


@dataclass(slots=True)
class Asker:
    """A client that knows NATS and nothing of natsched."""

    nc: Nats
    go: anyio.Event = field(default_factory=anyio.Event)

    async def ask(self, operation: str, **request: Any) -> Any:
        said = await self.nc.request(f"{PREFIX}.{operation}", json.dumps(request).encode(), timeout=20)
        assert said.headers is None, said.headers
        return json.loads(said.data)

    async def refused(self, operation: str, request: bytes) -> tuple[str, str, dict[str, Any]]:
        said = await self.nc.request(f"{PREFIX}.{operation}", request, timeout=20)
        assert said.headers
        headers, error = said.headers, json.loads(said.data)["error"]
        assert headers["Nats-Service-Error"] == " ".join(error["message"].split())
        return headers["Nats-Service-Error-Code"], error["code"], error

    async def service(self, verb: str) -> Any:
        return json.loads((await self.nc.request(f"$SRV.{verb}", b"", timeout=20)).data)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with run_server(tmp_path) as server:
        yield server


@pytest.fixture
async def asker(server: EmbeddedServer) -> AsyncIterator[Asker]:
    """Ask a replica that offers the service, and runs handlers that wait."""
    registry = Registry()
    settings = load(None, {"nats.servers": [server.url], "service.enabled": True, "service.prefix": PREFIX}, {})
    nc = await nats.connect(server.url)
    made = Asker(nc)

    @registry.handler("h")
    async def handler(ctx: Context) -> Any:
        await made.go.wait()
        return ctx.payload

    async with open_backend(settings) as opened, anyio.create_task_group() as tasks:
        replica = build_replica(settings, opened, registry)
        async with offered(settings, opened):
            await tasks.start(replica.run)
            yield made
        made.go.set()
        replica.stop()
    await nc.close()


async def test_a_job_from_its_definition_to_its_end(asker: Asker) -> None:
    ensured = await asker.ask("ensureJob", job="billing.daily", cron="0 3 * * *", handler="h", payload={"rows": 1})
    assert (ensured["outcome"], ensured["job"]["id"]) == ("created", "billing.daily")
    assert [job["id"] for job in (await asker.ask("listJobs", prefix="billing", limit=5))["jobs"]] == [
        "billing.daily"
    ]
    asked = await asker.ask("triggerJob", job="billing.daily", payload={"rows": 7})
    ended: list[Any] = []

    async def wait() -> None:
        ended.append(await asker.ask("getExecution", **asked, wait="15s"))

    async with anyio.create_task_group() as waiting:
        waiting.start_soon(wait)
        waiting.start_soon(wait)  # one that waits holds up nobody
        running = await asker.ask("listExecutions", job="billing.daily", status=["running"])
        assert [one["execution"] for one in running["executions"]] in ([], [asked["execution"]])
        asker.go.set()
    assert [one["attempts"][0]["result"] for one in ended] == [{"rows": 7}] * 2
    start = datetime.now(UTC) - timedelta(days=2)
    told = await asker.ask(
        "backfillJob", job="billing.daily", start=start.isoformat(), end=datetime.now(UTC).isoformat(), dry_run=True
    )
    assert len(told["asked"]) == 2
    assert (await asker.ask("removeJob", job="billing.daily"))["id"] == "billing.daily"


async def test_the_trace_of_a_request_goes_on_in_the_document(asker: Asker) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=1"}
    job = b'{"id": "a", "every": "1h", "handler": "h"}'
    await asker.nc.request(f"{PREFIX}.submitJob", job, timeout=20, headers=headers)
    document = (await asker.ask("getJob", job="a"))["document"]
    assert document["status"]["trace"] == headers
    await asker.ask("ensureJob", job="b", every="1h", handler="h")
    assert "trace" not in (await asker.ask("getJob", job="b"))["document"]["status"]


async def test_errors_have_the_codes_of_http(asker: Asker) -> None:
    await asker.ask("submitJob", id="there", every="1h", handler="h")
    for operation, request, code, name, what in (
        ("getJob", b'{"job": "missing"}', "404", "not_found", "missing"),
        ("getJob", b"{}", "422", "invalid", "job"),
        ("getJob", b'{"job": 7}', "422", "invalid", "job"),
        ("getJob", b'{"job": "a", "more": 1}', "422", "invalid", "more"),
        ("listJobs", b'{"limit": 0}', "422", "invalid", "limit"),
        ("pauseJob", b'{"job": "a", "untl": "2026-12-01T08:00:00Z"}', "422", "invalid", "untl"),
        ("ensureJob", b'{"job": "a", "cron": "61 * * * *", "handler": "h"}', "422", "invalid", "61"),
        ("submitJob", b'{"id": "there", "every": "1h", "handler": "h"}', "409", "exists", "there"),
        ("ensureJob", b"[]", "400", "bad_request", "object"),
        ("ensureJob", b"{", "400", "bad_request", "JSON"),
    ):
        said = await asker.refused(operation, request)
        assert said[:2] == (code, name), said
        assert what in f"{said[2]['field']} {said[2]['message']}"
    (stats,) = [one for one in (await asker.service("STATS"))["endpoints"] if one["name"] == "getJob"]
    assert (stats["num_requests"], stats["data"]["failed"]) == (4, 4)


async def test_the_tools_of_nats_find_and_describe_it(asker: Asker) -> None:
    for verb in ("PING", "PING.natsched"):
        ping = await asker.service(verb)
        assert (ping["type"], ping["name"]) == ("io.nats.micro.v1.ping_response", "natsched")
        assert re.fullmatch(r"\d+\.\d+\.\d+", ping["version"])
    info = await asker.service("INFO.natsched")
    assert info["type"] == "io.nats.micro.v1.info_response"
    endpoints = {endpoint["name"]: endpoint for endpoint in info["endpoints"]}
    assert endpoints.keys() == {operation.name for operation in OPERATIONS}
    assert all(one["subject"] == f"{PREFIX}.{name}" for name, one in endpoints.items())
    assert {one["queue_group"] for one in endpoints.values()} == {"natsched"}
    assert len(json.dumps(info)) < 512 * 1024, "it has to fit into one message of 1 MiB"
    job = await asker.ask("submitJob", id="a", every="1h", handler="h")
    schema = json.loads(endpoints["submitJob"]["metadata"]["response_schema"])
    jsonschema.Draft202012Validator(schema).validate(job)


def test_each_schema_stands_for_itself() -> None:
    schemas = Schemas()
    for operation in OPERATIONS:
        for schema in (schemas.of_request(operation), schemas.of_answer(operation)):
            jsonschema.Draft202012Validator.check_schema(schema)
            text = json.dumps(schema)
            assert "#/components" not in text
            for name in re.findall(r'"#/\$defs/([^"]+)"', text):
                assert name in schema["$defs"], (operation.name, name)
    takes = jsonschema.Draft202012Validator(schemas.of_request(OPERATIONS[0]))
    takes.validate({"prefix": "a", "limit": 5})
    with pytest.raises(jsonschema.ValidationError):
        takes.validate({"prefx": "a"})
