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
    chosen = settings_for(servers, settings, config)
    async with open_backend(chosen) as opened:
        yield Client(opened.backend, operations(opened, chosen), opened.clock)


def settings_for(servers: str | Sequence[str] | None, settings: Settings | None, config: Path | None) -> Settings:
    """Return the settings that are meant: those given, or those of file and environment with these servers."""
    if settings is not None:
        return settings
    urls = [servers] if isinstance(servers, str) else servers
    return load(config, {"nats.servers": list(urls)} if urls else None)
