"""A command line in this process, alone in its folder and environment; and one whose NATS is memory."""

import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from natsched.cli import asking
from natsched.client.client import Client
from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.memory import MemoryBackend
from natsched.wiring import Opened, operations
from tests.cli.running import Cli


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep folder, environment and logging from one test to the next as they were."""
    for name in list(os.environ):
        if name.upper().startswith("NATSCHED_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """Let commands talk to this memory instead of NATS; it keeps what one command wrote for the next."""
    clock = SystemClock()
    backend = MemoryBackend(clock, ack_wait=timedelta(seconds=5))
    monkeypatch.setattr(asking, "connect", _memory(backend, clock))
    return backend


def _memory(backend: MemoryBackend, clock: SystemClock) -> Callable[..., Any]:
    @asynccontextmanager
    async def connect(*, settings: Settings) -> AsyncGenerator[Client, None]:
        async with backend:
            opened = Opened(backend=backend, clock=clock)
            yield Client(backend, operations(opened, settings), clock)

    return connect
