"""The server: one socket of its own in the replica's event loop; scheduling goes on whether it is there or not."""

import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
import uvicorn
from starlette.types import ASGIApp

from natsched.clock import Clock
from natsched.config.http import Http
from natsched.errors import ConfigError
from natsched.logs import get_logger

_AGAIN: Final = 15.0
_DRAIN: Final = 3

log = get_logger(__name__)


class _Uvicorn(uvicorn.Server):
    """One that leaves signals to the replica."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Server:
    """Serves an application; while its place is taken it tries again."""

    def __init__(self, app: ASGIApp, http: Http, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._config = _config(app, http)
        self._uvicorn: _Uvicorn | None = None
        self._socket: socket.socket | None = None
        self._ended = anyio.Event()

    @property
    def url(self) -> str | None:
        """Where it is, None while its place is taken."""
        if self._socket is None:
            return None
        host, port = self._socket.getsockname()[:2]
        place = f"[{host}]" if ":" in host else host
        return f"{'https' if self._http.tls.cert else 'http'}://{place}:{port}"

    async def run(self) -> None:
        """Serve until `stop`."""
        self._socket = await self._bound()
        log.info("http", action="http_ready", url=self.url)
        self._uvicorn = _Uvicorn(self._config)
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            self._socket.close()
            self._ended.set()

    async def stop(self) -> None:
        """Take no more requests, and give those that are there a moment to end."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
            await self._ended.wait()

    async def _bound(self) -> socket.socket:
        told = False
        while True:
            try:
                return _bind(self._http)
            except OSError as error:
                if not told:
                    log.warning(
                        "no HTTP here: choose another http.port, or set http.enabled = false; trying again",
                        action="http_unavailable",
                        address=f"{self._http.address}:{self._http.port}",
                        error=error.strerror or str(error),
                    )
                told = True
            await self._clock.sleep(_AGAIN)


@asynccontextmanager
async def running(server: Server) -> AsyncGenerator[None, None]:
    """Run a server for as long as the context lasts."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, name="serve HTTP")
        yield
        with anyio.move_on_after(2 * _DRAIN):
            await server.stop()
        tasks.cancel_scope.cancel()


def _bind(http: Http) -> socket.socket:
    found = socket.getaddrinfo(http.address, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, place = found[0]
    return socket.create_server((str(place[0]), int(place[1])), family=family)


def _config(app: ASGIApp, http: Http) -> uvicorn.Config:
    """Return how uvicorn is to be; raise ConfigError for certificates that cannot be used."""
    tls = http.tls
    config = uvicorn.Config(
        app,
        loop="none",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN,
        ssl_certfile=tls.cert,
        ssl_keyfile=tls.key,
        ssl_ca_certs=None if tls.ca is None else str(tls.ca),
        ssl_cert_reqs=ssl.CERT_NONE if tls.ca is None else ssl.CERT_REQUIRED,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigError(
            f"[http.tls] cert, key and ca cannot be used ({error}): are they PEM, and does the key fit?"
        ) from error
    return config
