"""The topology of `deploy/compose`, without containers: its own files, with other addresses."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from natsched.jetstream.server import find_binary
from tests.cli.running import environment
from tests.deploy.composed import FOLDER, SECRETS, composed
from tests.deploy.roles import DEPLOY
from tests.deploy.test_image import health_command
from tests.e2e.processes import until
from tests.servers import free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SERVERS = ("nats-1", "nats-2", "nats-3")
REPLICAS = ("a", "b", "c")
START = 40.0
TAKEOVER = 25.0
TOKEN = SECRETS["NATSCHED_HTTP_TOKEN"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The processes by name, and where the replicas answer."""

    processes: Mapping[str, subprocess.Popen[bytes]]
    ports: Mapping[str, int]
    folder: Path

    async def get(self, name: str, path: str) -> httpx.Response | None:
        """Ask a replica; None if it does not answer."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ports[name]}", headers=headers) as http:
            try:
                return await http.get(path, timeout=5)
            except httpx.TransportError:
                return None

    async def ready(self, names: Sequence[str]) -> None:
        """Wait until each of these replicas is ready."""

        async def all_ready() -> bool:
            answers = [await self.get(name, "/readyz") for name in names]
            return all(answer is not None and answer.status_code == 200 for answer in answers)

        await self.until(all_ready, f"{names} are ready", START)

    async def until(self, look: Callable[[], Awaitable[bool]], what: str, limit: float) -> None:
        """Look until it is so; else fail with what the processes said."""
        try:
            await until(look, what, limit, probe=0.1)
        except AssertionError as error:
            tails = [file.read_text(errors="replace")[-600:] for file in sorted(self.folder.glob("*.log"))]
            raise AssertionError("\n".join([str(error), *tails])) from None

    async def runs(self, names: Sequence[str]) -> float:
        """Return how many runs these replicas count."""
        answers = [await self.get(name, "/metrics") for name in names]
        found = [re.findall(r'^natsched_runs_total{.*status="ok"} (\S+)$', one.text, re.M) for one in answers if one]
        return sum(float(number) for numbers in found for number in numbers)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(5)


async def test_one_server_and_one_replica_may_die_at_once(tmp_path: Path) -> None:
    async with _running(tmp_path) as topology:
        await topology.ready(REPLICAS)
        metrics = await topology.get("a", "/metrics")
        assert metrics is not None
        assert "natsched_nats_connected 1.0" in metrics.text
        _is_healthy(topology.ports["a"])
        await _until_runs(topology, REPLICAS, 2)

        topology.kill("nats-1")
        topology.kill("a")
        await topology.ready(REPLICAS[1:])
        await _until_runs(topology, REPLICAS[1:], 3)
        seen = await topology.get("b", "/api/v1/jobs/sample.beat")
        assert seen is not None
        assert seen.json()["id"] == "sample.beat"


async def _until_runs(topology: Topology, names: Sequence[str], number: int) -> None:
    before = await topology.runs(names)

    async def more() -> bool:
        return await topology.runs(names) >= before + number

    await topology.until(more, f"{number} runs more", TAKEOVER)


def _is_healthy(port: int) -> None:
    command = [sys.executable, *health_command()[1:]]
    assert "7477" in command[-1]
    command[-1] = command[-1].replace("7477", str(port))
    subprocess.run(command, check=True, timeout=10, env={"PATH": os.environ["PATH"]})


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[Topology]:
    services = composed()["services"]
    numbers = free_ports(12)
    ports = {f"{server}:{place}": numbers.pop() for server in SERVERS for place in (4222, 6222, 8222)}
    http = {name: numbers.pop() for name in REPLICAS}
    with ExitStack() as stack:
        processes = {
            server: stack.enter_context(_server(folder, server, services[server]["environment"], ports))
            for server in SERVERS
        }
        for process in processes.values():
            stack.callback(process.kill)
        await _until_healthy([ports[f"{server}:8222"] for server in SERVERS])
        for name in REPLICAS:
            processes[name] = stack.enter_context(
                _replica(folder, name, services["natsched"]["environment"], ports, http[name])
            )
            stack.callback(processes[name].kill)
        yield Topology(processes=processes, ports=http, folder=folder)


async def _until_healthy(ports: Sequence[int]) -> None:
    """Wait as `depends_on` does, by what the servers' health checks ask."""

    async def all_healthy() -> bool:
        async with httpx.AsyncClient() as http:
            try:
                answers = [await http.get(f"http://127.0.0.1:{port}/healthz", timeout=2) for port in ports]
            except httpx.TransportError:
                return False
        return all(answer.status_code == 200 for answer in answers)

    await until(all_healthy, "the servers are healthy", START, probe=0.1)


def _server(
    folder: Path, name: str, variables: Mapping[str, str], ports: Mapping[str, int]
) -> subprocess.Popen[bytes]:
    home = folder / name
    home.mkdir()
    text = (FOLDER / "nats.conf").read_text().replace('"/data"', f'"{home}/data"')
    for place in (4222, 6222, 8222):
        assert f'"0.0.0.0:{place}"' in text
        text = text.replace(f'"0.0.0.0:{place}"', f'"127.0.0.1:{ports[f"{name}:{place}"]}"')
    (home / "nats.conf").write_text(_addressed(text, ports))
    (home / "permissions.conf").write_text((DEPLOY / "permissions.conf").read_text())
    return _start([str(find_binary()), "--config", str(home / "nats.conf")], home, name, dict(variables))


def _replica(
    folder: Path, name: str, variables: Mapping[str, str], ports: Mapping[str, int], port: int
) -> subprocess.Popen[bytes]:
    home = folder / name
    home.mkdir()
    (home / "natsched.toml").write_text(_addressed((FOLDER / "natsched.toml").read_text(), ports))
    (home / "app.py").write_text((FOLDER / "app.py").read_text())
    given: dict[str, Any] = {
        **variables,
        "NATSCHED_HTTP__ENABLED": "true",
        "NATSCHED_HTTP__ADDRESS": "127.0.0.1",
        "NATSCHED_HTTP__PORT": str(port),
        "NATSCHED_REPLICA__NAME": name,
    }
    return _start([sys.executable, "-m", "natsched", "serve"], home, name, environment(**given))


def _addressed(text: str, ports: Mapping[str, int]) -> str:
    for place, port in ports.items():
        text = text.replace(f"nats://{place}", f"nats://127.0.0.1:{port}")
    return text


def _start(command: list[str], home: Path, name: str, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    with (home.parent / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=home, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
