"""A server, replicas as processes, their journal and a client."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from natsched import Client, connect
from natsched.config import load
from natsched.jetstream.server import EmbeddedServer
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, fleet
from tests.servers import run_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with run_server(tmp_path) as server:
        yield server


@pytest.fixture
def replicas(tmp_path: Path, server: EmbeddedServer) -> Iterator[Fleet]:
    with fleet(tmp_path, server.url) as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[Client]:
    async with connected(server.url) as client:
        yield client


@asynccontextmanager
async def connected(*urls: str, **flags: Any) -> AsyncIterator[Client]:
    """Connect with these settings, named by path with `__` for dots, and nothing of the environment."""
    named = {name.replace("__", "."): value for name, value in flags.items()}
    settings = load(None, {"nats.servers": urls, "nats.reconnect_max_delay": "1s", **named}, {})
    async with connect(settings=settings) as client:
        yield client
