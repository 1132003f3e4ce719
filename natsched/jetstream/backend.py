"""All ports over one connection to JetStream."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from natsched.jetstream.buckets import Bucket
from natsched.jetstream.connection import Connection
from natsched.jetstream.hints import HintMessages
from natsched.jetstream.history import HistoryBucket
from natsched.jetstream.inbox import Inbox
from natsched.jetstream.intake import ConsumerIntake, QueueDelivery, QueueIntake
from natsched.jetstream.jobs import JobBucket
from natsched.jetstream.locks import LockBucket
from natsched.jetstream.messages import PlainMessages
from natsched.jetstream.naming import Names
from natsched.jetstream.outbox import NoticeDelivery, OutboxMessages
from natsched.jetstream.publisher import Publisher
from natsched.jetstream.requests import Requests


class JetStreamBackend:
    """`ports.Backend` over JetStream, to be entered while the connection stands.

    `ensure_consumer` makes the durable consumer of a queue, or for None that of the notices, if it is missing.
    Without it the consumer has to be there, and one that is deleted is not made again.
    """

    def __init__(
        self,
        connection: Connection,
        names: Names,
        *,
        ensure_consumer: Callable[[str | None], Awaitable[object]] | None = None,
    ) -> None:
        self._connection = connection
        self._names = names
        self._ensure_consumer = ensure_consumer
        timeout = connection.options.request_timeout.total_seconds()
        self._inbox = inbox = Inbox(connection.nc, timeout=timeout)
        self._requests = requests = Requests(inbox, api=names.api)
        publisher = Publisher(connection.nc, inbox)
        self.jobs: Final = JobBucket(Bucket(names.jobs, names, publisher, requests), connection, requests)
        self.hints: Final = HintMessages(names, publisher, requests)
        self.history: Final = HistoryBucket(
            Bucket(names.executions, names, publisher, requests), connection, requests
        )
        self.locks: Final = LockBucket(Bucket(names.locks, names, publisher, requests), connection, requests)
        self.messages: Final = PlainMessages(connection, inbox, names)
        self.outbox: Final = OutboxMessages(names, publisher)
        self._forget: Callable[[], None]
        self._forget_denials: Callable[[], None]

    async def __aenter__(self) -> Self:
        await self._inbox.open()
        await self.messages.open()
        self._forget = self._connection.on_disconnect(self._inbox.give_up)
        self._forget_denials = self._connection.on_denial(self._inbox.deny)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        self._forget_denials()
        await self.messages.close()
        await self._inbox.close()

    @asynccontextmanager
    async def intake(self, queue: str) -> AsyncIterator[QueueIntake]:
        ensure = await self._ensured(queue)
        consumer = self._names.consumer_of(queue)
        async with ConsumerIntake(self._connection, self._names, consumer, ensure, QueueDelivery).opened() as intake:
            yield intake

    @asynccontextmanager
    async def notices(self) -> AsyncIterator[ConsumerIntake[NoticeDelivery]]:
        ensure = await self._ensured(None)
        consumer = self._names.webhook_consumer
        async with ConsumerIntake(self._connection, self._names, consumer, ensure, NoticeDelivery).opened() as intake:
            yield intake

    async def _ensured(self, queue: str | None) -> Callable[[], Awaitable[None]]:
        async def ensure() -> None:
            if self._ensure_consumer is not None:
                await self._ensure_consumer(queue)

        await ensure()
        return ensure

    async def server_time(self) -> datetime:
        """Ask the leader of the stream with the hints: it is its clock that schedules are fired by."""
        answer = await self._requests.call(f"STREAM.INFO.{self._names.stream}")
        return datetime.fromisoformat(answer["ts"]).astimezone(UTC)
