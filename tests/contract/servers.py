"""The servers under the contract: a backend, and a way to put what no natsched wrote behind its back."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol, TypeAlias

import anyio
from nats.aio.msg import Msg

from natsched.jetstream.api import call
from natsched.memory import MemoryBackend
from natsched.memory.messages import Heard
from natsched.ports import Backend
from tests.jetstream.opening import Opened

ACK_WAIT: Final = timedelta(seconds=2)
QUEUE: Final = "default"
_NEVER: Final = 10**9
Bucket: TypeAlias = Literal["jobs", "executions", "locks"]
Hear: TypeAlias = Callable[[], Awaitable[Heard]]


class Server(Protocol):
    """A fresh, empty server; a delivery that nobody answers for comes again after `ACK_WAIT`."""

    @property
    def backend(self) -> Backend: ...

    async def put_document(self, job: str, data: bytes) -> None:
        """Put bytes under a job's key."""

    async def put_record(self, key: str, data: bytes) -> None:
        """Put bytes under a key of the history."""

    async def put_schedule(self, job: str, data: bytes, at: datetime) -> None:
        """Put bytes on a job's schedule subject, for the default queue."""

    async def put_delivery(self, job: str, data: bytes) -> None:
        """Put bytes among the deliveries of the default queue."""

    def listening(self, subject: str, queue: str = "") -> AbstractAsyncContextManager[Hear]:
        """Listen as a worker does, and give what waits for the next message."""

    async def say(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Publish as a worker does."""

    async def make_stream(self, name: str, subject: str) -> None:
        """Make a stream that is none of natsched's."""

    async def put_notice(self, key: str, data: bytes) -> None:
        """Put bytes among the notices."""

    async def purge(self, bucket: Bucket, key: str) -> None:
        """Purge a key as `nats kv purge` does."""

    async def until_answers_are_in(self, queue: str | None) -> None:
        """Wait until the answers given to the deliveries of a queue (None: to the notices) are in effect."""


class MemoryServer:
    """The memory backend, by way of its streams."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend: Final = backend

    async def put_document(self, job: str, data: bytes) -> None:
        self.backend.streams.jobs.put(job, data)

    async def put_record(self, key: str, data: bytes) -> None:
        self.backend.streams.history.put(key, data)

    async def put_schedule(self, job: str, data: bytes, at: datetime) -> None:
        target = f"scheduler.delivery.{QUEUE}.plan.{job}"
        self.backend.streams.hints.put(f"scheduler.schedule.{job}", data, at=at, target=target)

    async def put_delivery(self, job: str, data: bytes) -> None:
        self.backend.streams.hints.append(f"scheduler.delivery.{QUEUE}.plan.{job}", data)

    @asynccontextmanager
    async def listening(self, subject: str, queue: str = "") -> AsyncGenerator[Hear, None]:
        send, receive = anyio.create_memory_object_stream[Heard](100)
        end = self.backend.messages.subscribe(subject, send.send_nowait, queue=queue)
        with send, receive:
            yield receive.receive
        end()

    async def say(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.backend.messages.publish(subject, data, headers)

    async def make_stream(self, name: str, subject: str) -> None:
        self.backend.messages.add_stream(name, subject)

    async def put_notice(self, key: str, data: bytes) -> None:
        self.backend.streams.hints.append(f"scheduler.webhook.{key}", data)

    async def purge(self, bucket: Bucket, key: str) -> None:
        streams = self.backend.streams
        stream = {"jobs": streams.jobs, "executions": streams.history, "locks": streams.locks}[bucket]
        last = stream.last(key)
        stream.mark(key, expected=last.seq if last else 0)

    async def until_answers_are_in(self, queue: str | None) -> None:
        """They are at once."""


class JetStreamServer:
    """The JetStream backend, by way of its connection."""

    def __init__(self, opened: Opened) -> None:
        self.backend: Final = opened.backend
        self._names = opened.names
        self._js = opened.connection.js
        self._connection = opened.connection
        self.made: Final[list[str]] = []

    async def put_document(self, job: str, data: bytes) -> None:
        await self._js.publish(self._names.key(self._names.jobs, job), data)

    async def put_record(self, key: str, data: bytes) -> None:
        await self._js.publish(self._names.key(self._names.executions, key), data)

    async def put_schedule(self, job: str, data: bytes, at: datetime) -> None:
        prefix = self._names.prefix
        headers = {
            "Nats-Schedule": f"@at {at.astimezone(UTC).isoformat()}",
            "Nats-Schedule-Target": f"{prefix}.delivery.{QUEUE}.plan.{job}",
        }
        await self._js.publish(f"{prefix}.schedule.{job}", data, headers=headers)

    async def put_delivery(self, job: str, data: bytes) -> None:
        await self._js.publish(f"{self._names.prefix}.delivery.{QUEUE}.plan.{job}", data)

    @asynccontextmanager
    async def listening(self, subject: str, queue: str = "") -> AsyncGenerator[Hear, None]:
        send, receive = anyio.create_memory_object_stream[Heard](100)

        async def hear(msg: Msg) -> None:
            headers = {name.lower(): value for name, value in (msg.headers or {}).items()}
            send.send_nowait(Heard(subject=msg.subject, data=msg.data, headers=headers, reply=msg.reply))

        subscription = await self._connection.nc.subscribe(subject, queue=queue, cb=hear)
        with send, receive:
            yield receive.receive
            await subscription.unsubscribe()

    async def say(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        await self._connection.nc.publish(subject, data, headers=dict(headers or {}))

    async def make_stream(self, name: str, subject: str) -> None:
        await call(
            self._connection, f"STREAM.CREATE.{name}", {"name": name, "subjects": [subject], "max_age": 10**11}
        )
        self.made.append(name)

    async def put_notice(self, key: str, data: bytes) -> None:
        await self._js.publish(self._names.notice(key), data)

    async def purge(self, bucket: Bucket, key: str) -> None:
        names = {"jobs": self._names.jobs, "executions": self._names.executions, "locks": self._names.locks}
        headers = {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}
        await self._js.publish(self._names.key(names[bucket], key), b"", headers=headers)

    async def until_answers_are_in(self, queue: str | None) -> None:
        """Ask behind them: an answer to what was never handed out changes nothing, and is confirmed."""
        consumer = self._names.webhook_consumer if queue is None else self._names.consumer_of(queue)
        await self._connection.request(f"$JS.ACK.{self._names.stream}.{consumer}.1.{_NEVER}.{_NEVER}.0.0", b"+WPI")
