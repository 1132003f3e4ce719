"""The connection to NATS for the life of a process: it waits for the first, then reconnects for ever."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import nats.errors
from anyio import CancelScope, Event, create_task_group, current_time, move_on_after, sleep
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from natsched.errors import BackendError, ConfigError, NatschedError, PermissionDenied, Unavailable
from natsched.jetstream.client import Backoff, LastingClient
from natsched.jetstream.identity import Identity, Tls
from natsched.jetstream.translate import denied, translated
from natsched.logs import get_logger

_log: Final = get_logger(__name__)
_PENDING_SIZE: Final = 32 * 1024 * 1024  # what is published in an outage waits here
_FIRST_RETRY: Final = 0.1
_CLOSE_LIMIT: Final = 3.0

C = TypeVar("C")
Callbacks: TypeAlias = dict[object, Callable[[], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How to reach NATS. The first connection may take `ready_timeout`, one try `connect_timeout`."""

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    name: str = "natsched"
    connect_timeout: timedelta = timedelta(seconds=5)
    request_timeout: timedelta = timedelta(seconds=5)
    ready_timeout: timedelta = timedelta(seconds=30)
    ping_interval: timedelta = timedelta(seconds=10)
    reconnect_max_delay: timedelta = timedelta(seconds=5)
    inbox_prefix: str = "_INBOX"
    domain: str | None = None
    identity: Identity = field(default_factory=Identity)
    tls: Tls = field(default_factory=Tls)

    @property
    def wants_tls(self) -> bool:
        return self.tls.given or any(urlsplit(url).scheme in ("tls", "wss") for url in self.servers)


class Connection:
    """A connected client. `nc` and `js` stay the same objects through every reconnect.

    After a reconnect subscriptions are there again, but an outstanding pull is lost: `on_reconnect` tells.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self.options = options
        self.nc = LastingClient(wants_tls=options.wants_tls, identified=options.identity.given)
        self.js: JetStreamContext = self.nc.jetstream(
            timeout=options.request_timeout.total_seconds(),
            **({"domain": options.domain} if options.domain else {}),
        )
        self.api_prefix = f"$JS.{options.domain}.API" if options.domain else "$JS.API"
        self.reconnects = 0
        self._backoff = Backoff(options.reconnect_max_delay.total_seconds())
        self._connected = Event()
        self._on_reconnect: Callbacks = {}
        self._on_disconnect: Callbacks = {}
        self._on_denial: dict[object, Callable[[Callable[[str], bool]], None]] = {}
        self._waiting: dict[CancelScope, str] = {}
        self._denied: set[str] = set()
        self._first: CancelScope | None = None
        self._error: Exception | None = None

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    @property
    def server_version(self) -> str:
        """The version of the server that we are (or were last) connected to."""
        return str(self.nc._server_info.get("version", ""))

    @property
    def about(self) -> Mapping[str, Any]:
        """What the server that we are (or were last) connected to said of itself."""
        return dict(self.nc._server_info)

    async def ping(self) -> None:
        """Wait for the server's answer to a ping; `Unavailable` if none comes in time."""
        with translated():
            await self.nc.flush(timeout=max(1, round(self.options.request_timeout.total_seconds())))

    async def wait_connected(self) -> None:
        """Return when connected; for ever, if need be."""
        while not self._connected.is_set():
            await self._connected.wait()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each reconnect, quickly, without waiting; return what ends that."""
        return _register(self._on_reconnect, callback)

    def on_disconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each loss of the connection, quickly, without waiting; return what ends that."""
        return _register(self._on_disconnect, callback)

    def on_denial(self, callback: Callable[[Callable[[str], bool]], None]) -> Callable[[], None]:
        """Call back when the server denies something, with what tells whether a subject is denied."""
        return _register(self._on_denial, callback)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the caller need not know of scopes
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Ask and return the answer.

        Raise `PermissionDenied` as soon as the server denies it; `Unavailable` (nobody knows if it was done)
        as soon as the connection breaks, or after `timeout`, by default the request timeout.
        """
        limit = timeout or self.options.request_timeout.total_seconds()
        scope = CancelScope()
        self._waiting[scope] = subject.lower()
        try:
            with translated(), scope:
                return await self.nc.request(
                    subject, payload, timeout=limit, headers=None if headers is None else dict(headers)
                )
        except Unavailable as error:
            if not self._is_denied(subject):
                raise
            raise self._denial(subject) from error
        finally:
            del self._waiting[scope]
        if self._is_denied(subject):
            raise self._denial(subject)
        raise Unavailable("The connection to NATS broke before the answer came. Trying again helps.")

    async def open(self) -> None:
        """Connect, or raise: at once where waiting cannot help, else after `ready_timeout`."""
        limit = self.options.ready_timeout.total_seconds()
        self._first = CancelScope(deadline=current_time() + limit)
        with translated(), self._first:
            await self.nc.connect(**self._arguments())
            self.nc.establish()
            self._connected.set()
        self._first = None
        if self.is_connected:
            return
        await self.close()
        if self._error is not None and (fatal := _fatal(self._error)):
            raise fatal from self._error
        places = ", ".join(_place(url) for url in self.options.servers)
        raise Unavailable(
            f"No NATS server answered at {places} within {limit:g} s ({self._error or 'no answer'}): is "
            "it up, and reachable from here? `natsched dev` starts one, `--server` names another."
        )

    async def close(self) -> None:
        """Close for good, what is pending sent if that can be."""
        with move_on_after(_CLOSE_LIMIT, shield=True):
            try:
                await self.nc.end()
            except Exception as error:  # noqa: BLE001 - it was closed, that it was broken too is no news
                _log.debug("Closing a broken connection to NATS.", error=repr(error))
        self._connected = Event()

    async def watch(self) -> None:
        """Ping for ever, and reconnect where nothing comes back: that ends a half-open connection."""
        interval = self.options.ping_interval.total_seconds()
        while True:
            await sleep(interval)
            if not self.nc.is_at_work:
                _log.warning("Nobody is reconnecting to NATS, begin again.")
                self.nc.revive()
            elif self.nc.is_connected and not await self.nc.answers(interval):
                _log.warning("NATS does not answer on this connection, connect again.")
                self.nc.revive()

    def _arguments(self) -> dict[str, Any]:
        options = self.options
        return {
            "servers": list(options.servers),
            "name": options.name,
            "error_cb": self._failed,
            "disconnected_cb": self._lost,
            "reconnected_cb": self._regained,
            "reconnect_to_server_handler": self._backoff.choose,
            "connect_timeout": options.connect_timeout.total_seconds(),
            "reconnect_time_wait": _FIRST_RETRY,
            "max_reconnect_attempts": -1,
            "ping_interval": options.ping_interval.total_seconds(),
            "max_outstanding_pings": 2,
            "pending_size": _PENDING_SIZE,
            "inbox_prefix": options.inbox_prefix,
            "tls": options.tls.context() if options.wants_tls else None,
            "tls_hostname": options.tls.hostname,
            **options.identity.arguments(),
        }

    # nats-py awaits these three; an exception from one of them would end its reconnecting.

    async def _failed(self, error: Exception) -> None:
        self._error = error
        if self._first is not None and _fatal(error):
            self._first.cancel()
        if "permissions violation" in str(error):
            _log.warning("NATS denies an operation.", error=str(error))
            self._note_denial(str(error))
        else:
            _log.debug("The connection to NATS reports an error.", error=repr(error))

    async def _lost(self) -> None:
        if self._connected.is_set():
            self._connected = Event()
            _log.warning("The connection to NATS is lost, reconnecting.")
        for scope in self._waiting:
            scope.cancel()
        _call(self._on_disconnect)

    async def _regained(self) -> None:
        self.reconnects += 1
        self._backoff.reset()
        self._denied.clear()
        self._connected.set()
        _log.info("Connected to NATS again.", reconnects=self.reconnects)
        _call(self._on_reconnect)

    def _note_denial(self, text: str) -> None:
        subject = text.partition('"')[2].partition('"')[0]
        self._denied.add(subject)
        for scope, waiting_for in self._waiting.items():
            if waiting_for == subject or self._is_inbox(subject):
                scope.cancel()
        for callback in tuple(self._on_denial.values()):
            callback(self._is_denied)

    def _is_denied(self, subject: str) -> bool:
        if not self._denied:
            return False
        return subject.lower() in self._denied or any(self._is_inbox(name) for name in self._denied)

    def _denial(self, subject: str) -> PermissionDenied:
        if any(self._is_inbox(name) for name in self._denied):
            prefix = self.options.inbox_prefix
            return PermissionDenied(
                f"NATS denies this user its answers, below {prefix}: set `nats.inbox_prefix` to the inbox of its "
                "permissions, such as _INBOX_replica for the user replica of `deploy/permissions.conf`.",
                subject=f"{prefix}.>",
            )
        return PermissionDenied(f"{PermissionDenied.__doc__} ({subject})", subject=subject)

    def _is_inbox(self, subject: str) -> bool:
        return subject.startswith(self.options.inbox_prefix.lower() + ".")


@asynccontextmanager
async def connect(options: ConnectionOptions) -> AsyncIterator[Connection]:
    """Hold a connection; raise `Unavailable` if there is none in time, `PermissionDenied` if refused."""
    connection = Connection(options)
    failure: Exception | None = None
    await connection.open()
    try:
        async with create_task_group() as tasks:
            tasks.start_soon(connection.watch, name="watch the connection")
            try:
                yield connection
            except Exception as error:  # noqa: BLE001 - raised below as it is, not in a group
                failure = error
            tasks.cancel_scope.cancel()
    finally:
        await connection.close()
    if failure is not None:
        raise failure


def _register(callbacks: dict[object, C], callback: C) -> Callable[[], None]:
    key = object()
    callbacks[key] = callback

    def unregister() -> None:
        callbacks.pop(key, None)

    return unregister


def _call(callbacks: Callbacks) -> None:
    for callback in tuple(callbacks.values()):
        try:
            callback()
        except Exception:  # noqa: BLE001 - it would end nats-py's reconnecting
            _log.exception("A callback of the connection failed.")


def _fatal(error: Exception) -> NatschedError | None:
    """Return what to raise for an error of the first connection that waiting cannot cure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return BackendError(f"The server's certificate is not trusted ({error.verify_message}): set `nats.tls.ca`.")
    if isinstance(error, nats.errors.SecureConnWantedError):
        return BackendError("TLS is wanted, but the server does not offer it: correct one of the two.")
    if isinstance(error, ImportError):
        return ConfigError("Servers at ws:// need aiohttp: `pip install aiohttp`.")
    if denied(error):
        return PermissionDenied(
            f"NATS does not let us in ({error}): check `nats.user` and `nats.password`, or `nats.credentials`, "
            "`nats.nkey` or `nats.token`."
        )
    return None


def _place(url: str) -> str:
    """Return the URL without the secrets it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
