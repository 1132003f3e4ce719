"""The notices of status changes: in the work-queue stream, on a subject each, until they are sent."""

from natsched.core.webhooks import Notice, decode_notice, encode_notice
from natsched.errors import DocumentError
from natsched.jetstream.intake import PulledDelivery
from natsched.jetstream.naming import Names
from natsched.jetstream.publisher import MESSAGE_ID, Publisher
from natsched.jetstream.wire import WireClient


class OutboxMessages:
    """`ports.Outbox` over the stream; the server's window recognises a doubled notice by its key."""

    def __init__(self, names: Names, publisher: Publisher) -> None:
        self._names = names
        self._publisher = publisher

    async def put(self, notice: Notice) -> None:
        await self._publisher.publish(
            self._names.notice(notice.key), encode_notice(notice), {MESSAGE_ID: f"webhook.{notice.key}"}
        )


class NoticeDelivery(PulledDelivery):
    """`ports.NoticeDelivery` of a message."""

    __slots__ = ("_notice",)

    def __init__(self, subject: bytes, reply: bytes, data: bytes, names: Names, client: WireClient) -> None:
        super().__init__(subject, reply, data, names, client)
        self._notice: Notice | None = None

    @property
    def notice(self) -> Notice | None:
        if self._notice is None and self._problem is None:
            try:
                self._notice = decode_notice(self._data)
            except DocumentError as error:
                self._problem = error.message
        return self._notice

    @property
    def problem(self) -> str | None:
        return None if self.notice is not None else self._problem
