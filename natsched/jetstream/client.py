"""nats-py's client, made to last: it ends when it is told to, and at nothing else.

Theory of operation. As it comes (2.16) the client gives up for good, or stays dead while it says that it is
connected, on these occasions: the server reports an error (slow consumer, credentials expired, a payload too
large); an unexpected exception ends the task that reads, or the one that reconnects; a pong comes after its
`rtt` was given up. All of them end in one of three private methods, which are extended here so that each one
leads back to reconnecting, with the subscriptions kept. What is left, a connection on which nothing comes
any more, is found by `answers`. Tests kill each of them on a real server.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Final

import nats.errors
from anyio import move_on_after, sleep
from nats.aio.client import Client, Server, Srv

from natsched.jetstream.wire import WireClient
from natsched.logs import get_logger

_log: Final = get_logger(__name__)
_RETRY_DELAY: Final = 0.2


class Backoff:
    """Choose the server to reconnect to and how long to wait before: soon at first, then ever more rarely."""

    def __init__(self, max_delay: float, *, first_delay: float = 0.1) -> None:
        self._max_delay = max_delay
        self._first_delay = first_delay
        self._tries = 0

    def reset(self) -> None:
        """Begin anew: a connection stands."""
        self._tries = 0

    def choose(self, servers: list[Server], _info: Mapping[str, Any]) -> tuple[Server, float]:
        """Take the servers in turn; each round through all of them doubles the delay."""
        rounds, index = divmod(self._tries, len(servers))
        self._tries += 1
        longest = min(self._max_delay, self._first_delay * 2 ** min(rounds, 20))
        return servers[index], longest * random.uniform(0.5, 1.0)  # noqa: S311 - only spreads the load


class LastingClient(WireClient):
    """A client that reconnects until `end`. `identified` sends who we are even if the server does not ask."""

    def __init__(self, *, wants_tls: bool = False, identified: bool = False) -> None:
        super().__init__()
        self._wants_tls = wants_tls
        self._auth_configured = identified
        self._established = False
        self._ending = False

    def establish(self) -> None:
        """Last from here on: the first connection stands."""
        self._established = True

    async def end(self) -> None:
        """Send what is pending and close for good."""
        self._ending = True
        if self._flush_queue is not None:  # else nothing was ever opened
            await self._close(Client.CLOSED, do_cbs=False)
        if self._transport is not None:  # left open where a first connection was broken off
            self._transport.close()  # type: ignore[no-untyped-call]

    def revive(self) -> None:
        """Begin to reconnect, whatever state the client is in."""
        if self._ending:
            return
        self._status = Client.RECONNECTING
        self._ps.reset()
        task = self._reconnection_task
        if task is not None and not task.done() and task is not asyncio.current_task():
            task.cancel()
        self._reconnection_task = asyncio.get_running_loop().create_task(self._attempt_reconnect())

    @property
    def is_at_work(self) -> bool:
        """Whether it is connected, or something is under way that will end in that."""
        task = self._reconnection_task
        return self.is_connected or self._ending or (task is not None and not task.done())

    async def answers(self, limit: float) -> bool:
        """Say whether the server answers a ping within `limit` seconds; True if there is none to ask."""
        reader = self._reading_task
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with move_on_after(limit):
            await self._send_ping(pong)
            # never cancelled: its late pong would end the reading
            await asyncio.wait((pong,))
        return pong.done() or reader is not self._reading_task or not self.is_connected

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if self._established and not self._ending:
            _log.warning("The connection to NATS was given up, begin again.", error=str(self._err or ""))
            self.revive()
            return
        await super()._close(status, do_cbs)

    def _abort(self) -> None:
        writer = getattr(self._transport, "_io_writer", None)  # of TCP; a websocket closes with a limit
        if writer is not None:
            writer.transport.abort()

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is not None:  # of a try that failed, which nobody closes
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def _read_loop(self) -> None:
        await super()._read_loop()
        if self.is_connected and asyncio.current_task() is self._reading_task and self._established:
            _log.warning("Reading from NATS ended unexpectedly, connect again.")
            self.revive()

    async def _attempt_reconnect(self) -> None:
        self._abort()  # else it waits, without limit, until a dead peer has taken what was written
        while not self._ending:
            try:
                await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 - whatever it was, there is no life without a connection
                _log.warning("Reconnecting to NATS failed unexpectedly, try again.", error=repr(error))
                await sleep(_RETRY_DELAY)
            else:
                return

    def _connect_command(self) -> bytes:
        if self._wants_tls and not self._server_info.get("tls_required") and not self._is_wss():
            raise nats.errors.SecureConnWantedError  # else our password went out in the clear
        return bytes(super()._connect_command())

    def _is_wss(self) -> bool:
        return self._current_server is not None and self._current_server.uri.scheme == "wss"
