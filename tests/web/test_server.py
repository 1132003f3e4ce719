"""The server on a socket: its place, its certificates, its end. In real time, as sockets know no other."""

import json
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from natsched import After
from natsched.client.client import Client
from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.config.http import Http, HttpTls
from natsched.daemon.building import build_replica
from natsched.errors import ConfigError
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from natsched.web import server as serving_module
from natsched.web.metrics import Metrics
from natsched.web.server import Server
from natsched.web.serving import listening, served
from natsched.wiring import open_backend, operations
from tests.e2e.processes import until
from tests.web.harness import TOKEN, with_token

TLS = Path(__file__).parents[1] / "jetstream" / "tls"

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def replica(**http: Any) -> AsyncGenerator[tuple[Server, Client], None]:
    """Run a replica on memory with HTTP on a free port, unless another is asked for."""
    settings = Settings(mode="local", http=Http(**{"port": 0, **http}))
    registry, metrics = Registry(), Metrics()

    @registry.handler("quick")
    async def quick(ctx: Context) -> None: ...

    async with (
        listening(settings) as server,
        open_backend(settings) as opened,
        anyio.create_task_group() as tasks,
    ):
        assert server is not None
        one = build_replica(settings, opened, registry, (metrics,))
        await tasks.start(one.run)
        async with served(settings, opened, one, metrics, server):
            yield server, Client(opened.backend, operations(opened, settings), opened.clock)
        one.stop()


async def test_it_is_served_where_the_settings_say() -> None:
    async with replica(**with_token()) as (server, _), httpx.AsyncClient(base_url=str(server.url)) as http:
        assert (await http.get("/readyz")).json() == {"ok": True, "reasons": []}
        assert (await http.get("/api/v1/jobs")).status_code == 401
        answer = await http.get("/api/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, "server" in answer.headers) == (200, False)


async def test_nothing_is_served_where_it_is_off() -> None:
    settings = Settings(mode="local", http=Http(enabled=False))
    async with listening(settings) as server:
        assert server is None
    async with open_backend(settings) as opened:
        one = build_replica(settings, opened, Registry())
        async with served(settings, opened, one, Metrics(), None):
            pass


async def test_probes_are_answered_before_there_is_anything_to_serve() -> None:
    async with listening(Settings(http=Http(port=0))) as server:
        assert server is not None
        async with httpx.AsyncClient(base_url=str(server.url)) as http:
            assert (await http.get("/healthz")).json() == {"ok": True, "reasons": []}
            ready, jobs = await http.get("/readyz"), await http.get("/api/v1/jobs")
    assert (ready.status_code, ready.json()["ok"]) == (503, False)
    assert "NATS does not answer" in ready.json()["reasons"][0]
    assert (jobs.status_code, jobs.json()["error"]["code"], jobs.headers["Retry-After"]) == (503, "unavailable", "1")


async def test_a_taken_port_is_told_once_and_taken_when_it_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving_module, "_AGAIN", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with replica(port=port) as (server, client):
            assert server.url is None
            await (await client.trigger_job(await _job(client))).wait(5)
            await anyio.sleep(0.2)
            other.close()
            await until(lambda: server.url, "it has its place", 5)
            async with httpx.AsyncClient(base_url=str(server.url)) as http:
                assert (await http.get("/healthz")).status_code == 200
    (warned,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "choose another http.port" in warned.getMessage()
    assert f"action=http_unavailable address=127.0.0.1:{port} error=Address already in use" in warned.getMessage()


async def test_a_fault_of_the_server_does_not_end_the_replica(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving_module, "_AGAIN", 0.05)
    failing, serve = [RuntimeError("boom")], serving_module._Uvicorn.serve

    async def flawed(self: Any, sockets: Any = None) -> None:
        if failing:
            raise failing.pop()
        await serve(self, sockets)

    monkeypatch.setattr(serving_module._Uvicorn, "serve", flawed)
    async with replica() as (server, _):
        await until(lambda: not failing and server.url, "it is served again", 5)
        async with httpx.AsyncClient(base_url=str(server.url)) as http:
            assert (await http.get("/healthz")).status_code == 200
    assert "action=http_failed" in caplog.text


async def test_only_those_who_show_a_certificate_are_served() -> None:
    tls = HttpTls(cert=TLS / "cert.pem", key=TLS / "key.pem", ca=TLS / "ca.pem")
    async with replica(address="0.0.0.0", tls=tls) as (server, _):
        url = str(server.url).replace("0.0.0.0", "127.0.0.1")
        assert url.startswith("https://")
        stranger = ssl.create_default_context(cafile=TLS / "ca.pem")
        async with httpx.AsyncClient(verify=stranger) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"{url}/healthz")
        known = ssl.create_default_context(cafile=TLS / "ca.pem")
        known.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        async with httpx.AsyncClient(verify=known) as http:
            assert (await http.get(f"{url}/api/v1/jobs")).status_code == 200
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"{url.replace('https', 'http')}/healthz")


def test_certificates_that_cannot_be_used_are_a_config_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"\[http\.tls\] cert, key and ca cannot be used"):
        Server(_nothing, Http(tls=HttpTls(cert=bad, key=bad)), SystemClock())


async def test_a_stream_tells_what_ends_and_ends_with_the_server() -> None:
    async with AsyncExitStack() as stack:
        server, client = await stack.enter_async_context(replica())
        async with (
            httpx.AsyncClient(base_url=str(server.url)) as http,
            http.stream("GET", "/api/v1/events", params={"job": await _job(client)}, timeout=10) as stream,
        ):
            lines = stream.aiter_lines()
            assert (await anext(lines), stream.headers["content-type"][:17]) == ("retry: 2000", "text/event-stream")
            await anyio.sleep(0.1)
            handle = await client.trigger_job("a")
            event = await _event(lines)
            assert (event["execution"], event["status"]) == (handle.execution_id, "ok")
            began = anyio.current_time()
            await stack.aclose()
            assert [line async for line in lines if line.startswith("data:")] == []
            assert anyio.current_time() - began < 2


async def _event(lines: Any) -> Any:
    async for line in lines:
        if line.startswith("data: "):
            return json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def _job(client: Client) -> str:
    await client.ensure_job("a", After(), handler="quick")
    return "a"


async def _nothing(*_: Any) -> None: ...
