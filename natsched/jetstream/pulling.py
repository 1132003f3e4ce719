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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

from anyio import create_task_group, move_on_after
from nats.aio.subscription import Subscription

from natsched.errors import BackendError
from natsched.jetstream.connection import Connection
from natsched.jetstream.frames import Sink
from natsched.jetstream.translate import translate, translated
from natsched.jetstream.wire import description_of, header, status_of
from natsched.logs import get_logger

EXPIRES: Final = 30.0
HEARTBEAT: Final = 5.0

_log: Final = get_logger(__name__)
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

    `take` is a sink, so it must not wait; `recover` is awaited after a loss.
    """

    def __init__(
        self,
        connection: Connection,
        subject: str,
        take: Sink,
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
        self._now = asyncio.get_running_loop().time
        self._subscription: Subscription
        self._wake = asyncio.Event()
        self._regained = asyncio.Event()
        self._forget_reconnects: Callable[[], None]

    @asynccontextmanager
    async def pulling(self) -> AsyncIterator[None]:
        """Pull while the context is entered; what the server has not yet sent at its end goes to others."""
        failure: Exception | None = None
        await self._open()
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self.run, name=f"pull from {self.subject}")
                try:
                    yield
                except Exception as error:  # noqa: BLE001 - raised below as it is, not in a group
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            await self._close()
        if failure is not None:
            raise failure

    async def _open(self) -> None:
        self._inbox = f"{self._connection.nc.new_inbox()}."
        with translated():
            self._subscription = await self._connection.nc.listen(f"{self._inbox}*", self._receive)
        self._forget_reconnects = self._connection.on_reconnect(self._reconnected)

    async def _close(self) -> None:
        self._forget_reconnects()
        with move_on_after(_CLOSE_LIMIT, shield=True), translated():
            await self._connection.nc.unlisten(self._subscription)

    def want(self, room: int) -> None:
        """Say how many more messages are wanted, those that are outstanding among them."""
        self._room = room
        if self._is_short():
            self._wake.set()

    async def run(self) -> None:
        """Pull until cancelled."""
        while True:
            self._wake.clear()
            if self._outstanding and self._now() - self._heard >= self._patience:
                self._loss = self._loss or Loss.SILENT
            if self._loss is not None:
                loss, self._loss = self._loss, None
                await self._recovered(loss)
            elif self._is_short() and self._connection.is_connected:
                self._pull(self._room - self._outstanding)
            else:
                silent = self._now() - self._heard if self._outstanding else 0
                with move_on_after(self._patience - silent):
                    await self._wake.wait()

    def _is_short(self) -> bool:
        return self._room > self._outstanding and 2 * self._outstanding <= self._room

    def _pull(self, batch: int) -> None:
        if not self._outstanding:
            self._heard = self._now()
        self._outstanding += batch
        request = json.dumps({"batch": batch, **self._limits}).encode()
        try:
            self._connection.nc.post(self.subject, request, f"{self._inbox}{self._epoch}")
        except Exception as error:  # noqa: BLE001 - whatever nats-py says, it is tried again
            self._lose(Loss.REFUSED, str(translate(error)))

    def _receive(self, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self._heard = self._now()
        status = status_of(headers)
        if status:
            self._take_status(subject, status, headers)
            return
        self._failures = 0
        self._room -= 1
        if self._outstanding > 0:
            self._outstanding -= 1
        self._take(subject, reply, data, headers)
        if self._is_short():
            self._wake.set()

    def _take_status(self, subject: bytes, status: bytes, headers: bytes) -> None:
        if subject != f"{self._inbox}{self._epoch}".encode():
            return
        description = description_of(headers)
        if status == b"100":
            self._failures = 0
        elif status == b"503" or "Consumer Deleted" in description:
            self._lose(Loss.GONE, description)
        elif status in (b"404", b"408") or "Batch Completed" in description:
            pending = header(headers, b"Nats-Pending-Messages")
            self._outstanding = max(self._outstanding - int(pending), 0) if pending else 0
            self._wake.set()
        else:
            self._lose(Loss.REFUSED, f"{description} ({status.decode()})")

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
        if not self._connection.is_connected:
            await self._connection.wait_connected()
            self._loss, loss = None, Loss.RECONNECTED
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
