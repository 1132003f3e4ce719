"""From settings to what is served beside a replica."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from natsched.client.client import Client
from natsched.config import Settings
from natsched.daemon.replica import Replica
from natsched.web.app import build_app
from natsched.web.feed import Feed
from natsched.web.index import JobIndex
from natsched.web.metrics import Metrics
from natsched.web.server import Server
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
    feed = Feed(opened.backend.history, opened.clock)
    index = JobIndex(opened.backend.jobs, opened.clock)
    site = Site(
        client=Client(opened.backend, operations(opened, settings), opened.clock),
        backend=opened.backend,
        clock=opened.clock,
        condition=replica.condition,
        feed=feed,
        index=index,
        link=opened.link,
        http=settings.http,
        metrics=metrics,
    )
    server = Server(build_app(site), settings.http, opened.clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run, name="feed streams of events")
        tasks.start_soon(index.run, name="index the jobs for the dashboard")
        await tasks.start(server.run, name="serve HTTP")
        yield server
        feed.close()
        await server.stop()
        tasks.cancel_scope.cancel()
