"""A backend on a real server, with what it needs in place."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from natsched.jetstream.api import call
from natsched.jetstream.backend import JetStreamBackend
from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.naming import Names
from natsched.jetstream.server import EmbeddedServer
from natsched.jetstream.topology import Asset, Kind, Topology

REQUEST_TIMEOUT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A backend with the connection under it."""

    backend: JetStreamBackend
    connection: Connection
    topology: Topology

    @property
    def names(self) -> Names:
        return self.topology.names


@asynccontextmanager
async def open_backend(
    server: EmbeddedServer,
    *,
    topology: Topology | None = None,
    request_timeout: timedelta = REQUEST_TIMEOUT,
    ensure: bool = True,
) -> AsyncGenerator[Opened, None]:
    """Connect, make what is missing and open the backend; `ensure` makes consumers again that are lost."""
    topology = topology or Topology()
    options = ConnectionOptions(servers=(server.url,), request_timeout=request_timeout)
    async with connect(options) as connection:
        for asset in topology.assets():
            await make(connection, asset)

        async def ensure_consumer(queue: str | None) -> None:
            if ensure:
                await make(connection, topology.webhooks() if queue is None else topology.consumer(queue))

        backend = JetStreamBackend(connection, topology.names, ensure_consumer=ensure_consumer)
        async with backend:
            yield Opened(backend=backend, connection=connection, topology=topology)


async def make(connection: Connection, asset: Asset) -> None:
    """Make a stream or consumer; one that is the same already is well."""
    if asset.kind is Kind.STREAM:
        await call(connection, f"STREAM.CREATE.{asset.name}", {"name": asset.name, **asset.config()})
        return
    body = {"stream_name": asset.stream, "config": asset.config()}
    await call(connection, f"CONSUMER.DURABLE.CREATE.{asset.stream}.{asset.name}", body)
