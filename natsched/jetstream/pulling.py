"""Pull requests kept outstanding on one consumer, through outages.

Theory of operation. `room` is how many more messages are wanted, `outstanding` how many the server has been
asked for and not yet sent. Whenever less than half of the room is outstanding, the rest is asked for. The server
ends a request early with a status that says how many of it are pending (nats.go counts in the same way);
until then it sends heartbeats while there is nothing. So silence means a loss, as do a reconnect (the requests
died with the connection) and a consumer that does not answer. After a loss nothing counts as outstanding,
`recover` is called and all is asked for again, with a growing pause where that fails again and again. What
requests of before the loss still bring is taken, but their statuses are not counted.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

import structlog
from anyio import current_time, move_on_after
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from natsched.errors import BackendError
from natsched.jetstream.connection import Connection
from natsched.jetstream.inbox import STATUS
from natsched.jetstream.translate import translated

EXPIRES: Final = 30.0
HEARTBEAT: Final = 5.0

_log: Final = structlog.get_logger(__name__)
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_CLOSE_LIMIT: Final = 2.0
_BILLION: Final = 1_000_000_000


class Loss(StrEnum):
    """Why what was asked for will not come."""

    RECONNECTED = "reconnected"
    SILENT = "the server sends no heartbeats"
    REFUSED = "the server refused the request"
    GONE = "nobody answers for the consumer"


class Puller:
    """Pulls from one consumer and hands each message to `take`.

    `take` is called from the task that nats-py reads by and must not wait; `recover` is awaited after a loss.
    """

    def __init__(
        self,
        connection: Connection,
        subject: str,
        take: Callable[[Msg], None],
        recover: Callable[[Loss], Awaitable[None]],
        *,
        expires: float = EXPIRES,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self.subject = subject
        self._connection = connection
        self._take = take
        self._recover = recover
        self._limits = {"expires": int(expires * _BILLION), "idle_heartbeat": int(heartbeat * _BILLION)}
        self._patience = 2 * heartbeat
        self._room = 0
        self._outstanding = 0
        self._epoch = 0
        self._failures = 0
        self._heard = 0.0
        self._loss: Loss | None = None
        self._inbox = ""
        self._subscription: Subscription
        self._wake = asyncio.Event()
        self._regained = asyncio.Event()
        self._forget_reconnects: Callable[[], None]

    async def open(self) -> None:
        self._inbox = f"{self._connection.nc.new_inbox()}."
        with translated():
            self._subscription = await self._connection.nc.subscribe(f"{self._inbox}*", cb=self._receive)
        self._forget_reconnects = self._connection.on_reconnect(self._reconnected)

    async def close(self) -> None:
        """End the subscription: the server hands what was not yet sent to others."""
        self._forget_reconnects()
        client = self._connection.nc
        if client.is_closed or client.is_draining:
            return
        with move_on_after(_CLOSE_LIMIT, shield=True), translated():
            await self._subscription.unsubscribe()

    def want(self, room: int) -> None:
        """Say how many more messages are wanted, those that are outstanding among them."""
        self._room = room
        if self._is_short():
            self._wake.set()

    async def run(self) -> None:
        """Pull until cancelled."""
        while True:
            self._wake.clear()
            if self._outstanding and current_time() - self._heard > self._patience:
                self._loss = self._loss or Loss.SILENT
            if self._loss is not None:
                loss, self._loss = self._loss, None
                await self._recovered(loss)
            elif self._is_short() and self._connection.is_connected:
                await self._pull(self._room - self._outstanding)
            else:
                with move_on_after(self._patience):
                    await self._wake.wait()

    def _is_short(self) -> bool:
        return self._room > self._outstanding and 2 * self._outstanding <= self._room

    async def _pull(self, batch: int) -> None:
        if not self._outstanding:
            self._heard = current_time()
        self._outstanding += batch
        request = json.dumps({"batch": batch, **self._limits}).encode()
        try:
            with translated():
                await self._connection.nc.publish(self.subject, request, reply=f"{self._inbox}{self._epoch}")
        except BackendError as error:
            self._lose(Loss.REFUSED, str(error))

    async def _receive(self, message: Msg) -> None:
        self._heard = current_time()
        headers = message.headers
        if headers and STATUS in headers and not message.data and message.subject.startswith(self._inbox):
            self._take_status(message.subject, headers[STATUS], headers)
            return
        self._failures = 0
        self._room -= 1
        if self._outstanding > 0:
            self._outstanding -= 1
        self._take(message)
        if self._is_short():
            self._wake.set()

    def _take_status(self, subject: str, status: str, headers: dict[str, str]) -> None:
        if subject != f"{self._inbox}{self._epoch}":
            return
        description = headers.get("Description", "")
        if status == "100":
            self._failures = 0
        elif status == "503" or "Consumer Deleted" in description:
            self._lose(Loss.GONE, description)
        elif status in ("404", "408") or "Batch Completed" in description:
            pending = int(headers.get("Nats-Pending-Messages", self._outstanding))
            self._outstanding = max(self._outstanding - pending, 0)
            self._wake.set()
        else:
            self._lose(Loss.REFUSED, f"{description} ({status})")

    def _reconnected(self) -> None:
        self._regained.set()
        self._lose(Loss.RECONNECTED, "")

    def _lose(self, loss: Loss, description: str) -> None:
        if loss is not Loss.RECONNECTED:
            _log.debug("a pull was lost", action="pull_lost", consumer=self.subject, why=description or loss.value)
        self._loss = loss
        self._wake.set()

    async def _recovered(self, loss: Loss) -> None:
        """Forget what is outstanding and make ready to ask again, after a pause if that failed before."""
        self._epoch += 1
        self._outstanding = 0
        if loss is not Loss.RECONNECTED:
            self._failures += 1
            if self._failures in (2, 20):
                _log.warning(
                    "pulling fails; trying again", action="pull_again", consumer=self.subject, why=loss.value
                )
            await self._pause()
        try:
            await self._recover(loss)
        except BackendError as error:
            _log.warning("a consumer cannot be had; trying again", action="consumer_again", error=str(error))
            self._failures += 1
            self._loss = self._loss or loss
            await self._pause()

    async def _pause(self) -> None:
        """Wait ever longer from the second failure on, or until there is a new connection."""
        longest = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._regained.clear()
        if self._failures > 1:
            with move_on_after(longest * random.uniform(0.5, 1.0)):  # noqa: S311 - only spreads the load
                await self._regained.wait()
