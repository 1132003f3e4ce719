"""The server that each test of the contract runs on."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from natsched.clock import SystemClock
from natsched.memory import MemoryBackend
from natsched.ports import Backend
from tests.contract.servers import ACK_WAIT, MemoryServer, Server


@asynccontextmanager
async def open_memory() -> AsyncGenerator[Server, None]:
    async with MemoryBackend(SystemClock(), ack_wait=ACK_WAIT) as backend:
        yield MemoryServer(backend)


def open_jetstream(store: Path) -> AbstractAsyncContextManager[Server]:
    raise NotImplementedError


@pytest.fixture(params=["memory", pytest.param("jetstream", marks=pytest.mark.nats)])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Server, None]:
    async with open_memory() if request.param == "memory" else open_jetstream(tmp_path) as opened:
        yield opened


@pytest.fixture
def backend(server: Server) -> Backend:
    return server.backend
