"""From settings to what is served beside a replica."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from natsched.client.client import Client
from natsched.config import Settings
from natsched.daemon.replica import Replica
from natsched.web.app import build_app
from natsched.web.metrics import Metrics
from natsched.web.server import Server, running
from natsched.web.site import Site
from natsched.wiring import Opened, operations


@asynccontextmanager
async def served(
    settings: Settings, opened: Opened, replica: Replica, metrics: Metrics
) -> AsyncGenerator[Server | None, None]:
    """Serve what the settings say for as long as the context lasts; None if they say nothing is to be served."""
    if not settings.http.enabled:
        yield None
        return
    site = Site(
        client=Client(opened.backend, operations(opened, settings), opened.clock),
        backend=opened.backend,
        clock=opened.clock,
        condition=replica.condition,
        link=opened.link,
        http=settings.http,
        metrics=metrics,
    )
    server = Server(build_app(site), settings.http, opened.clock)
    async with running(server):
        yield server
