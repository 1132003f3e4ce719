"""A replica inside another program: a web service that runs its own jobs, a test, a notebook."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from natsched.client.client import Client
from natsched.client.connecting import settings_for
from natsched.config import Settings
from natsched.daemon.building import build_replica
from natsched.targets.registry import Registry
from natsched.wiring import open_backend, operations


@asynccontextmanager
async def embed(
    registry: Registry,
    servers: str | Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
    config: Path | None = None,
) -> AsyncGenerator[Client, None]:
    """Run a replica with these handlers as long as the context lasts, and give a client beside it.

    It takes part like any other replica, and drains when the context ends. With `mode = "local"` there is no
    NATS: everything lives in this process and is gone with it.
    """
    chosen = settings_for(servers, settings, config)
    async with open_backend(chosen) as opened, anyio.create_task_group() as tasks:
        replica = build_replica(chosen, opened, registry)
        await tasks.start(replica.run, name="replica")
        try:
            yield Client(opened.backend, operations(opened, chosen), opened.clock)
        finally:
            replica.stop()
