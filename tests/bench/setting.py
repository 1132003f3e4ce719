"""Where benchmarks run: a server of their own, a replica in a process of its own, figures as JSON lines."""

import json
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.abc

from natsched.config import Settings, load
from natsched.core.schedules import Interval
from natsched.jetstream.server import EmbeddedServer, ServerOptions


@contextmanager
def server() -> Iterator[str]:
    """Run a nats-server on an empty store and give its URL."""
    with (
        TemporaryDirectory(prefix="natsched-bench-") as folder,
        EmbeddedServer(ServerOptions(store=Path(folder))) as running,
    ):
        yield running.url


def settings(url: str) -> Settings:
    """Return the default settings on that server, with a concurrency that does not limit."""
    return load(None, {"nats.servers": [url], "queues.default.concurrency": 5000}, {})


@dataclass(slots=True)
class Worker:
    """A replica in a process of its own."""

    process: anyio.abc.Process
    lines: AsyncGenerator[dict[str, Any], None]

    async def line(self) -> dict[str, Any]:
        """Return the next thing it says."""
        return await anext(self.lines)

    async def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(f"{command}\n".encode())


@asynccontextmanager
async def worker(url: str) -> AsyncGenerator[Worker, None]:
    """Start a replica and give it once it is ready."""
    command = [sys.executable, "-m", "tests.bench.worker", url]
    async with await anyio.open_process(command, stderr=None) as process:
        running = Worker(process, _lines(process))
        yield running
        if process.returncode is None:
            process.terminate()


async def _lines(process: anyio.abc.Process) -> AsyncGenerator[dict[str, Any], None]:
    assert process.stdout is not None
    buffer = b""
    async for data in process.stdout:
        buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            yield json.loads(line)


def spread_jobs(number: int, start: datetime, period: timedelta, **options: Any) -> list[dict[str, Any]]:
    """Return jobs of one period whose phases are spread evenly over it."""
    return [
        {
            "id": f"bench.{index}",
            "schedule": Interval(period, start_at=start + period * index / number),
            "handler": "bench",
            **options,
        }
        for index in range(number)
    ]


def say(name: str, figures: Mapping[str, Any]) -> None:
    """Print the figures of a benchmark."""
    sys.stdout.write(json.dumps({"bench": name, **figures}) + "\n")
    sys.stdout.flush()
