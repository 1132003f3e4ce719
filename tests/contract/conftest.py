"""The server that each test of the contract runs on."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest

from natsched.clock import SystemClock
from natsched.jetstream.api import call
from natsched.jetstream.server import EmbeddedServer
from natsched.jetstream.topology import Kind, Topology
from natsched.memory import MemoryBackend
from natsched.ports import Backend
from tests.contract.servers import ACK_WAIT, JetStreamServer, MemoryServer, Server
from tests.jetstream.opening import REQUEST_TIMEOUT, open_backend
from tests.servers import run_server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with run_server(tmp_path_factory.mktemp("contract")) as server:
        yield server


@asynccontextmanager
async def open_memory() -> AsyncGenerator[Server, None]:
    async with MemoryBackend(SystemClock(), ack_wait=ACK_WAIT) as backend:
        yield MemoryServer(backend)


@asynccontextmanager
async def open_jetstream(
    server: EmbeddedServer, *, ack_wait: timedelta = ACK_WAIT, request_timeout: timedelta = REQUEST_TIMEOUT
) -> AsyncGenerator[Server, None]:
    topology = Topology(ack_wait=ack_wait)
    async with open_backend(server, topology=topology, request_timeout=request_timeout) as opened:
        made = JetStreamServer(opened)
        try:
            yield made
        finally:
            streams = [asset.name for asset in topology.assets() if asset.kind is Kind.STREAM]
            for name in (*streams, *made.made):
                await call(opened.connection, f"STREAM.PURGE.{name}")  # one made again at once may have what it had
                await call(opened.connection, f"STREAM.DELETE.{name}")


@pytest.fixture(params=["memory", pytest.param("jetstream", marks=pytest.mark.nats)])
async def server(request: pytest.FixtureRequest) -> AsyncGenerator[Server, None]:
    async with _opening(request) as server:
        yield server


@pytest.fixture
def backend(server: Server) -> Backend:
    return server.backend


def _opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Server]:
    if request.param == "memory":
        return open_memory()
    return open_jetstream(request.getfixturevalue("nats_server"))
