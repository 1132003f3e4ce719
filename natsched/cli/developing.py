"""One run of `natsched dev`: the server, the replica on it, and what is shown of them."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from shlex import quote
from typing import Final

from natsched.cli.board import Board
from natsched.cli.dev import DevOptions
from natsched.cli.output import Output
from natsched.cli.stopping import Stopping
from natsched.cli.telling import LogObserver
from natsched.client.bulk import BulkResult
from natsched.client.client import Client
from natsched.client.measures import span
from natsched.config import Nats, Settings, load_jobs
from natsched.config.connection import masked_url
from natsched.daemon.building import build_replica
from natsched.errors import ConfigError
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from natsched.targets.plugins import Plugin
from natsched.targets.registry import Registry
from natsched.web.metrics import Metrics
from natsched.web.serving import listening, served
from natsched.wiring import Opened, open_backend, operations

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 4222
_GRACE: Final = timedelta(seconds=1)
_SHOWN: Final = "samples.report"


class Dev:
    """One run of `natsched dev`."""

    def __init__(
        self, settings: Settings, options: DevOptions, handlers: tuple[Registry, Sequence[Plugin]], output: Output
    ) -> None:
        assert options.data is not None
        self._settings = settings
        self._options = options
        self._data = options.data
        self._registry, self._plugins = handlers
        self._jobs = load_jobs(options.jobs) if options.jobs is not None else []
        self._output = output
        self._stopping = Stopping()

    async def run(self) -> None:
        """Run until a signal or the time limit, then show the summary."""
        board: Board | None = None
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._stopping.listening())
            server = EmbeddedServer(ServerOptions(store=self._data, port=choose_port(self._options.port)))
            await stack.enter_async_context(server)
            settings = on_server(self._settings, server.url)
            opened = await stack.enter_async_context(open_backend(settings))
            board = Board(self._output, opened.clock, self._stopping.stop)
            await self._replicate(settings, opened, board)
        if board is not None:
            self._summarize(board)

    async def _replicate(self, settings: Settings, opened: Opened, board: Board) -> None:
        client = Client(opened.backend, operations(opened, settings), opened.clock)
        found = await client.ensure_jobs(self._jobs)
        metrics = Metrics()
        observers = (board, LogObserver(opened.clock, runs=False), metrics)
        replica = build_replica(settings, opened, self._registry, observers)
        async with listening(settings) as http, served(settings, opened, replica, metrics, http):
            self._greet(settings, found, http.url if http is not None else None)
            await self._stopping.run(replica, board.begin, seconds=self._options.duration)

    def _greet(self, settings: Settings, found: BulkResult, http: str | None) -> None:
        url = masked_url(settings.nats.servers[0])
        folder = self._data.resolve()
        if self._output.json:
            about = {"created": found.created, "updated": found.updated, "unchanged": found.unchanged}
            where = {"server": url, "http": http, "data": str(folder), "plugins": [*map(str, self._plugins)]}
            self._output.value({"event": "ready", **where, "jobs": about})
            return
        usual = url.endswith(f":{USUAL_PORT}")
        other = "" if usual else f" --server {url}"
        declared = sum(1 for _ in self._registry.declared())
        own = f", {declared} declared by the app" if declared else ""
        for text, style in (
            ("natsched dev: a nats-server, one replica, and jobs that run", "bold"),
            (f"  server     {url}{'' if usual else '   (4222 is taken)' if self._options.port is None else ''}", ""),
            *([(f"  dashboard  {http}/", "")] if http is not None else []),
            (f"  data       {folder}", ""),
            *((f"  plugin     {plugin}", "") for plugin in self._plugins),
            (f"  jobs       {found.created} created, {found.updated} updated, {found.unchanged} unchanged{own}", ""),
            ("", ""),
            ("In a second terminal:", "bold"),
            *((f"  {line}{other}", "cyan") for line in self._to_try()),
            ("Ctrl-C stops.", ""),
            ("", ""),
        ):
            self._output.line(text, style)

    def _to_try(self) -> Iterator[str]:
        """Yield commands that work with the jobs and handlers that are here."""
        yield "natsched job list"
        jobs = [*(job.id for job in self._registry.declared()), *(job["id"] for job in self._jobs)]
        handler = next((name for name in self._registry.handlers if name and name not in jobs), None)
        if handler is not None:
            payload = "" if self._settings.app else """ --payload '{"name": "you"}'"""
            yield f"natsched job ensure my.job --every 1s --handler {quote(handler)}{payload}"
        if jobs:
            yield f"natsched job trigger {_SHOWN if _SHOWN in jobs else jobs[0]} --wait"

    def _summarize(self, board: Board) -> None:
        summary = board.summary()
        if self._output.json:
            self._output.value({"event": "summary", **summary})
            return
        lag = "-"
        if summary["lag_p50_ms"] is not None:
            p50, p99 = (span(summary[name] / 1000) for name in ("lag_p50_ms", "lag_p99_ms"))
            lag = f"p50 {p50}, p99 {p99}"
        self._output.line("")
        self._output.line(
            f"{summary['runs']} runs, {summary['failed']} failed, {summary['missed']} missed, "
            f"{summary['skipped']} skipped; lag {lag}",
            "bold",
        )


def on_server(settings: Settings, url: str) -> Settings:
    """Return the settings for a single server without users, which stops quickly; HTTP takes a port that is free."""
    scheduler = settings.scheduler.model_copy(update={"replicas": 1})
    replica = settings.replica.model_copy(update={"shutdown_grace": min(_GRACE, settings.replica.shutdown_grace)})
    http = settings.http
    if http.enabled and "port" not in http.model_fields_set and not _is_free(http.port):
        http = http.model_copy(update={"port": 0})
    own = {"nats": Nats(servers=(url,)), "scheduler": scheduler, "replica": replica, "http": http}
    return settings.model_copy(update={"mode": "nats", **own})


def choose_port(asked: int | None) -> int:
    """Return the port that was asked for, the usual one if it is free, or 0 for any."""
    if asked is None:
        return USUAL_PORT if _is_free(USUAL_PORT) else 0
    if not _is_free(asked):
        raise ConfigError(f"--port {asked}: it is taken: choose another, or leave it out for a free one.")
    return asked


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
