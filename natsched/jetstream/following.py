"""What is stored in a stream, from now on or from its first message, by a pull consumer of its own.

It is replaced when it is lost. To a server under load it is also the cheapest way through a whole stream: a
batched direct read counts what is left with each request, which takes 9 ms for 128 of 100,000 documents while
others are written; by a consumer they take 1.6 ms (measured, 2.15.1).

No push or ordered consumer: nats-py 2.16 reads their acknowledgement subjects wrongly when the server option
`js_ack_fc_v2` is on, and the whole connection dies of it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import move_on_after

from natsched.errors import BackendError
from natsched.jetstream.connection import Connection
from natsched.jetstream.intake import ack_numbers
from natsched.jetstream.pulling import Loss, Puller
from natsched.jetstream.requests import LAPS, Message, Requests
from natsched.jetstream.translate import NotFound
from natsched.jetstream.wire import text_of
from natsched.logs import get_logger

ROOM: Final = 512
"""How many messages may wait to be taken."""

_log: Final = get_logger(__name__)
_INACTIVE: Final = 60_000_000_000
_CLOSE_LIMIT: Final = 2.0
_PATIENCE: Final = 1.0


class Follower:
    """The messages of some subjects (wildcards) of a stream, in order; None where the view was lost for a while.

    After a loss it goes on behind the last message that came; what was removed meanwhile does not come. It
    begins behind the sequence `after`, or with what is stored from now on.
    """

    def __init__(
        self,
        connection: Connection,
        requests: Requests,
        stream: str,
        subjects: Sequence[str],
        *,
        after: int | None = None,
        room: int = ROOM,
    ) -> None:
        self._connection = connection
        self._requests = requests
        self._stream = stream
        self._subjects = list(subjects)
        self._name = ""
        self._last = after
        self._room = room
        self._pending = 0
        self._arrived: deque[Message | None] = deque()
        self._some = asyncio.Event()
        self._puller = Puller(connection, "", self._take, self._recover)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Follower"]:
        """Follow while the context is entered, from that moment on."""
        await self._create()
        try:
            async with self._puller.pulling():
                self._puller.want(self._room)
                yield self
        finally:
            with move_on_after(_CLOSE_LIMIT, shield=True):
                await self._delete()

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Message | None:
        while not self._arrived:
            await self._some.wait()
            self._some.clear()
        message = self._arrived.popleft()
        self._puller.want(self._room - len(self._arrived))
        return message

    async def walk(self) -> AsyncIterator[list[Message]]:
        """Yield what is stored in chunks of up to half of the room, to the end.

        What is rewritten meanwhile moves to the end and comes there; where writers are faster than the walk it
        ends after some laps.
        """
        left = LAPS * self._pending
        chunk = self._room // 2
        while left > 0 and (self._arrived or self._pending):
            await self._fill(chunk)
            number = min(len(self._arrived), chunk)
            messages = [message for _ in range(number) if (message := self._arrived.popleft()) is not None]
            self._puller.want(self._room - len(self._arrived))
            left -= len(messages)
            if messages:
                yield messages

    async def _fill(self, number: int) -> None:
        """Wait until that many messages are here, or all that are pending."""
        while len(self._arrived) < number and self._pending:
            self._some.clear()
            with move_on_after(_PATIENCE) as limit:
                await self._some.wait()
            if limit.cancelled_caught:  # what was pending may be gone: the consumer that replaces this one knows
                await self._delete()

    def _take(self, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        _, seq, self._pending = ack_numbers(reply)
        self._last = seq
        self._arrived.append(Message(text_of(subject), seq, data, headers))
        self._some.set()

    async def _recover(self, loss: Loss) -> None:
        await self._delete()
        await self._create()
        self._arrived.append(None)
        self._some.set()

    async def _create(self) -> None:
        config: dict[str, Any] = {
            "filter_subjects": self._subjects,
            "deliver_policy": "new",
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _INACTIVE,
        }
        if self._last is not None:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last + 1}
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await self._requests.call(f"CONSUMER.CREATE.{self._stream}", body)
        self._name = answer["name"]
        self._pending = int(answer["num_pending"])
        if self._last is None:
            self._last = int(answer["delivered"]["stream_seq"])
        self._puller.subject = f"{self._requests.api}.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"

    async def _delete(self) -> None:
        """Remove the consumer; one that cannot be reached ends by itself when nobody pulls from it."""
        try:
            await self._requests.call(f"CONSUMER.DELETE.{self._stream}.{self._name}")
        except NotFound:
            pass
        except BackendError as error:
            _log.debug("a follower's consumer is left", action="follower_left", error=str(error))
