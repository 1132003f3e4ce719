"""From settings to what is served beside a replica."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from natsched.client.client import Client
from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.daemon.replica import Replica
from natsched.web import health
from natsched.web.app import build_app
from natsched.web.feed import Feed
from natsched.web.index import JobIndex
from natsched.web.metrics import Metrics
from natsched.web.server import Server
from natsched.web.site import Site
from natsched.wiring import Opened, operations


@asynccontextmanager
async def listening(settings: Settings) -> AsyncGenerator[Server | None, None]:
    """Listen where the settings say, None if nowhere; until a replica is served, probes alone are answered."""
    if not settings.http.enabled:
        yield None
        return
    server = Server(health.waiting, settings.http, SystemClock())
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.run, name="serve HTTP")
        yield server
        await server.stop()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def served(
    settings: Settings, opened: Opened, replica: Replica, metrics: Metrics, server: Server | None
) -> AsyncGenerator[None, None]:
    """Serve a replica for as long as the context lasts, if there is a server, which ends with it."""
    if server is None:
        yield
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
    server.app = build_app(site)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run, name="feed streams of events")
        tasks.start_soon(index.run, name="index the jobs for the dashboard")
        yield
        feed.close()
        await server.stop()
        tasks.cancel_scope.cancel()
