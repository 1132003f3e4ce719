"""A queue's deliveries: pulled ahead, handed out, answered without waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, Generic, Self, TypeAlias, TypeVar

from natsched.core.hints import Hint
from natsched.errors import DocumentError
from natsched.jetstream.connection import Connection
from natsched.jetstream.hints import read_hint
from natsched.jetstream.naming import Names
from natsched.jetstream.pulling import Loss, Puller
from natsched.jetstream.translate import translate
from natsched.jetstream.wire import WireClient, text_of
from natsched.logs import get_logger

EXPIRES: Final = 3.0
"""A pull request outlives a replica that freezes and takes deliveries in vain, so it is short."""

_HEARTBEAT: Final = 1.25
_log: Final = get_logger(__name__)
_ACK: Final = b""
_NAK: Final = b"-NAK"
_IN_PROGRESS: Final = b"+WPI"
_V1_TOKENS: Final = 9
_MICROSECOND: Final = timedelta(microseconds=1)


class PulledDelivery:
    """A message that is handed out until it is answered for; what it holds is read when it is asked for.

    Its answers are sent without an acknowledgement of their own. A lost one is harmless: the server delivers
    again.
    """

    __slots__ = ("_client", "_data", "_names", "_problem", "_reply", "_subject", "attempts", "seq")

    def __init__(self, subject: bytes, reply: bytes, data: bytes, names: Names, client: WireClient) -> None:
        self._subject = subject
        self._reply = reply
        self._data = data
        self._names = names
        self._client = client
        self.attempts, self.seq, _ = ack_numbers(reply)
        self._problem: str | None = None

    def ack(self) -> None:
        self._say(_ACK)

    def nak(self, delay: timedelta | None = None) -> None:
        nanoseconds = delay // _MICROSECOND * 1000 if delay else 0
        self._say(_NAK + b' {"delay": %d}' % nanoseconds if nanoseconds > 0 else _NAK)

    def in_progress(self) -> None:
        self._say(_IN_PROGRESS)

    def _say(self, payload: bytes) -> None:
        try:
            self._client.post(self._reply.decode(), payload)
        except Exception as error:  # noqa: BLE001 - no library error leaves here, and there is nobody to tell
            _log.debug("an answer was lost", action="answer_lost", error=str(translate(error)))


class QueueDelivery(PulledDelivery):
    """`ports.Delivery` of a message."""

    __slots__ = ("_hint",)

    def __init__(self, subject: bytes, reply: bytes, data: bytes, names: Names, client: WireClient) -> None:
        super().__init__(subject, reply, data, names, client)
        self._hint: Hint | None = None

    @property
    def hint(self) -> Hint | None:
        if self._hint is None and self._problem is None:
            try:
                self._hint = read_hint(text_of(self._subject), self._data, self._names)
            except DocumentError as error:
                self._problem = error.message
        return self._hint

    @property
    def problem(self) -> str | None:
        return None if self.hint is not None else self._problem


D = TypeVar("D", bound=PulledDelivery)


class ConsumerIntake(Generic[D]):
    """`ports.Intake` of one consumer; what nobody received when it closes is handed back."""

    def __init__(
        self,
        connection: Connection,
        names: Names,
        consumer: str,
        ensure: Callable[[], Awaitable[None]],
        delivery: Callable[[bytes, bytes, bytes, Names, WireClient], D],
    ) -> None:
        subject = f"{names.api}.CONSUMER.MSG.NEXT.{names.stream}.{consumer}"
        self._names = names
        self._delivery = delivery
        self._ensure = ensure
        self._client = connection.nc
        self._puller = Puller(connection, subject, self._take, self._recover, expires=EXPIRES, heartbeat=_HEARTBEAT)
        self._arrived: list[D] = []
        self._some = asyncio.Event()

    def want(self, room: int) -> None:
        self._puller.want(max(room - len(self._arrived), 0))

    async def receive(self) -> Sequence[D]:
        await self._some.wait()
        self._some.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Pull while the context is entered."""
        try:
            async with self._puller.pulling():
                yield self
        finally:
            for delivery in self._arrived:
                delivery.nak()
            self._arrived = []

    def _take(self, subject: bytes, reply: bytes, data: bytes, _headers: bytes) -> None:
        self._arrived.append(self._delivery(subject, reply, data, self._names, self._client))
        self._some.set()

    async def _recover(self, loss: Loss) -> None:
        if loss is Loss.GONE:
            await self._ensure()


QueueIntake: TypeAlias = ConsumerIntake[QueueDelivery]


def ack_numbers(reply: bytes) -> tuple[int, int, int]:
    """Read delivery count, stream sequence and what is pending from the subject that a delivery is acknowledged on.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<n>.<time>.<pending>`, or with domain and account hash before the
    stream.
    """
    tokens = reply.split(b".")
    at = 4 if len(tokens) == _V1_TOKENS else 6
    try:
        return int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 4])
    except (IndexError, ValueError):
        return 0, 0, 0
