"""From settings to a client."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from natsched.client.client import Client
from natsched.config import Settings, load
from natsched.wiring import open_backend, operations


@asynccontextmanager
async def connect(
    servers: str | Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
    config: Path | None = None,
) -> AsyncGenerator[Client, None]:
    """Connect to NATS and give a client: `async with connect("nats://127.0.0.1:4222") as client:`.

    What is not given comes from `NATSCHED_...` in the environment and from the configuration file (`config`,
    else `$NATSCHED_CONFIG` or `natsched.toml`), as for a replica, so that both agree on names. The stream and
    the buckets are created if they do not exist. Raise `Unavailable` if NATS does not answer in time.
    """
    if settings is None:
        urls = [servers] if isinstance(servers, str) else servers
        settings = load(config, {"nats.servers": list(urls)} if urls else None)
    async with open_backend(settings) as opened:
        yield Client(opened.backend, operations(opened, settings), opened.clock)
