"""The server: one socket of its own in the replica's event loop; scheduling goes on whether it is there or not."""

import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp, Receive, Scope, Send

from natsched.clock import Clock
from natsched.config.http import Http
from natsched.errors import ConfigError
from natsched.logs import get_logger

_AGAIN: Final = 15.0
_DRAIN: Final = 3
_MOST: Final = 512

log = get_logger(__name__)


class _Uvicorn(uvicorn.Server):
    """One that leaves signals to the replica."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Server:
    """Serves an application, which may be exchanged; while its place is taken, or after a fault, it tries again."""

    def __init__(self, app: ASGIApp, http: Http, clock: Clock) -> None:
        self.app = app
        self._http = http
        self._clock = clock
        self._config = _config(self._answer, http)
        self._uvicorn: _Uvicorn | None = None
        self._ended = anyio.Event()
        self.url: str | None = None
        """Where it is; None while its place is taken."""

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`; started once it listens, or its place was found taken."""
        bound = self._bind(tell=True)
        task_status.started()
        while True:
            if bound is not None and await self._serve(bound):
                return
            await self._clock.sleep(_AGAIN)
            bound = self._bind()

    async def stop(self) -> None:
        """Take no more requests, and give those that are there a moment to end."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
            with anyio.move_on_after(2 * _DRAIN):
                await self._ended.wait()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def _serve(self, bound: socket.socket) -> bool:
        """Serve until `stop`; False if it failed, which must not be felt by what is scheduled."""
        self._uvicorn, self._ended = _Uvicorn(self._config), anyio.Event()
        try:
            await self._uvicorn.serve(sockets=[bound])
        except Exception:
            log.exception("HTTP failed and is begun again", action="http_failed")
            return False
        finally:
            self._uvicorn, self.url = None, None
            bound.close()
            self._ended.set()
        return True

    def _bind(self, *, tell: bool = False) -> socket.socket | None:
        try:
            bound = _bind(self._http)
        except OSError as error:
            if tell:
                log.warning(
                    "no HTTP here: choose another http.port, or set http.enabled = false; it is tried again",
                    action="http_unavailable",
                    address=f"{self._http.address}:{self._http.port}",
                    error=error.strerror or str(error),
                )
            return None
        host, port = bound.getsockname()[:2]
        place = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if self._http.tls.cert else 'http'}://{place}:{port}"
        log.info("HTTP is served", action="http_ready", url=self.url)
        return bound


def _bind(http: Http) -> socket.socket:
    found = socket.getaddrinfo(http.address, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, place = found[0]
    return socket.create_server((str(place[0]), int(place[1])), family=family)


def _config(app: ASGIApp, http: Http) -> uvicorn.Config:
    """Return how uvicorn is to be; raise ConfigError for certificates that cannot be used."""
    tls = http.tls
    config = uvicorn.Config(
        app,
        interface="asgi3",
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
        limit_concurrency=_MOST,
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
