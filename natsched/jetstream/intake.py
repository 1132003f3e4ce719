"""A queue's deliveries: pulled ahead, handed out, answered without waiting."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from anyio import create_task_group, move_on_after
from nats.aio.msg import Msg

from natsched.core.hints import Hint
from natsched.errors import DocumentError
from natsched.jetstream.connection import Connection
from natsched.jetstream.hints import read_hint
from natsched.jetstream.naming import Names
from natsched.jetstream.pulling import Loss, Puller
from natsched.jetstream.translate import translate

_log: Final = structlog.get_logger(__name__)
_ACK: Final = b""
_NAK: Final = b"-NAK"
_IN_PROGRESS: Final = b"+WPI"
_CLOSE_LIMIT: Final = 2.0
_V1_TOKENS: Final = 9


class Answers:
    """What is said to the server about deliveries: kept until one task sends it, lost in an outage.

    A lost answer is harmless: the server delivers again.
    """

    def __init__(self, connection: Connection) -> None:
        self._client = connection.nc
        self._kept: list[tuple[str, bytes]] = []
        self._some = asyncio.Event()

    def say(self, reply: str, payload: bytes) -> None:
        self._kept.append((reply, payload))
        self._some.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._some.wait()
            await self.send()

    async def send(self) -> None:
        """Send what is kept."""
        self._some.clear()
        kept, self._kept = self._kept, []
        publish = self._client.publish
        try:
            for reply, payload in kept:
                await publish(reply, payload)
        except Exception as error:  # noqa: BLE001 - no library error leaves here, and there is nobody to tell
            _log.debug("answers were lost", action="answers_lost", error=str(translate(error)))


class QueueDelivery:
    """`ports.Delivery` of a message; what it holds is read when it is asked for."""

    __slots__ = ("_answers", "_hint", "_message", "_names", "_problem")

    def __init__(self, message: Msg, names: Names, answers: Answers) -> None:
        self._message = message
        self._names = names
        self._answers = answers
        self._hint: Hint | None = None
        self._problem: str | None = None

    @property
    def hint(self) -> Hint | None:
        if self._hint is None and self._problem is None:
            try:
                self._hint = read_hint(self._message.subject, self._message.data, self._names)
            except DocumentError as error:
                self._problem = error.message
        return self._hint

    @property
    def problem(self) -> str | None:
        return None if self.hint is not None else self._problem

    @property
    def seq(self) -> int:
        return ack_numbers(self._message.reply)[1]

    @property
    def attempts(self) -> int:
        return ack_numbers(self._message.reply)[0]

    def ack(self) -> None:
        self._answers.say(self._message.reply, _ACK)

    def nak(self, delay: timedelta | None = None) -> None:
        nanoseconds = int(delay.total_seconds() * 1e9) if delay else 0
        body = b" " + json.dumps({"delay": nanoseconds}).encode() if nanoseconds > 0 else b""
        self._answers.say(self._message.reply, _NAK + body)

    def in_progress(self) -> None:
        self._answers.say(self._message.reply, _IN_PROGRESS)


class QueueIntake:
    """`ports.Intake` of one queue's consumer; what nobody received when it closes is handed back."""

    def __init__(
        self, connection: Connection, names: Names, queue: str, ensure: Callable[[], Awaitable[None]]
    ) -> None:
        subject = f"{names.api}.CONSUMER.MSG.NEXT.{names.stream}.{names.consumer_of(queue)}"
        self._names = names
        self._ensure = ensure
        self._answers = Answers(connection)
        self._puller = Puller(connection, subject, self._take, self._recover)
        self._arrived: list[QueueDelivery] = []
        self._some = asyncio.Event()

    def want(self, room: int) -> None:
        self._puller.want(max(room - len(self._arrived), 0))

    async def receive(self) -> Sequence[QueueDelivery]:
        await self._some.wait()
        self._some.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["QueueIntake"]:
        """Pull and answer while the context is entered."""
        await self._puller.open()
        async with create_task_group() as tasks:
            tasks.start_soon(self._puller.run, name="pull")
            tasks.start_soon(self._answers.run, name="answer")
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()
                await self._close()

    async def _close(self) -> None:
        with move_on_after(_CLOSE_LIMIT, shield=True):
            await self._puller.close()
            for delivery in self._arrived:
                delivery.nak()
            self._arrived = []
            await self._answers.send()

    def _take(self, message: Msg) -> None:
        self._arrived.append(QueueDelivery(message, self._names, self._answers))
        self._some.set()

    async def _recover(self, loss: Loss) -> None:
        if loss is Loss.GONE:
            await self._ensure()


def ack_numbers(reply: str) -> tuple[int, int]:
    """Read delivery count and stream sequence from the subject that a delivery is acknowledged on.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>...`, or with domain and account hash before the stream.
    """
    tokens = reply.split(".")
    at = 4 if len(tokens) == _V1_TOKENS else 6
    try:
        return int(tokens[at]), int(tokens[at + 1])
    except (IndexError, ValueError):
        return 0, 0
