"""A short way in and out of nats-py's client, for what natsched does thousands of times a second.

Theory of operation. A message on nats-py's usual way (2.16) costs 8-30 us of CPU: a publish goes through four
coroutines and a check of each header, a message received through a queue, a task and a dictionary of all its
headers, which is made character by character. Here `post` makes the command in one piece and puts it where the
client's own flusher finds it, and a `Sink` is called with what a frame holds, as bytes, from the task that reads.
The flusher, the subscriptions and reconnecting are nats-py's, and so are all other calls.

Used of nats-py's private parts: `_ps`, its parser; `_process_msg`, which that awaits with each message that
`frames` leaves to it; and `_pending`, `_pending_data_size` and `_flush_queue`, which `_send_command` and
`_flush_pending` fill. Tests hold each of them.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from natsched.jetstream.frames import FrameParser, Sink
from natsched.logs import get_logger

_HEAD: Final = "NATS/1.0\r\n"
_STATUS: Final = b"NATS/1.0 "
_log: Final = get_logger(__name__)


class WireClient(Client):
    """A client with `post` and `listen`."""

    def __init__(self) -> None:
        super().__init__()
        self._sinks: dict[int, Sink] = {}
        self._ps = FrameParser(self, self._sinks)

    def post(self, subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Publish without waiting; while disconnected it is kept until the connection stands again.

        Raise what `publish` raises, and `OutboundBufferLimitError` if more is kept than the client may.
        """
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        size = len(payload)
        if size > self._max_payload:
            raise nats.errors.MaxPayloadError
        command = _command(subject, payload, reply, headers)
        if self._pending_data_size + len(command) > self._max_pending_size > 0:
            raise nats.errors.OutboundBufferLimitError
        self._pending.append(command)
        self._pending_data_size += len(command)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        queue = self._flush_queue
        if self._status == Client.CONNECTED and queue is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def listen(self, subject: str, sink: Sink) -> Subscription:
        """Subscribe with a sink; end it with `unlisten`."""
        subscription = await self.subscribe(subject)
        self._sinks[subscription._id] = sink
        return subscription

    async def unlisten(self, subscription: Subscription) -> None:
        """End a subscription of `listen`, if the client is still there."""
        self._sinks.pop(subscription._id, None)
        if not self.is_closed and not self.is_draining:
            await subscription.unsubscribe()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        sink = self._sinks.get(sid)
        if sink is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            self.hand(sink, subject, reply, data, headers or b"")

    def hand(self, sink: Sink, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Hand a message to its sink, whatever comes of it."""
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            sink(subject, reply, data, headers)
        except Exception:  # noqa: BLE001 - it would end the reading of the whole connection
            _log.exception("a message could not be taken", action="message_failed", subject=text_of(subject))


def text_of(subject: bytes) -> str:
    """Read a subject; the server takes any bytes, and those that are no UTF-8 show as U+FFFD, which no id has."""
    return subject.decode("utf-8", "replace")


def status_of(headers: bytes) -> bytes:
    """Return the status of a block of headers, such as `b"503"`; empty if it has none."""
    return headers[9:12] if headers.startswith(_STATUS) else b""


def header(headers: bytes, name: bytes) -> str | None:
    """Return the last value of a header, as the server writes it: its own come after those of the publisher."""
    start = headers.rfind(b"\r\n%b:" % name)
    if start < 0:
        return None
    start += len(name) + 3
    return headers[start : headers.find(b"\r\n", start)].strip().decode("utf-8", "replace")


def headers_of(headers: bytes) -> dict[str, str]:
    """Return all headers, by their names in lower case; of those of one name the last."""
    lines = (line.partition(":") for line in headers.decode("utf-8", "replace").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def description_of(headers: bytes) -> str:
    """Return what stands behind the status, such as `No Responders`."""
    return headers[12 : headers.find(b"\r\n")].strip().decode("utf-8", "replace")


def _command(subject: str, payload: bytes, reply: str, headers: Mapping[str, str] | None) -> bytes:
    if not subject or " " in subject or not subject.isprintable():
        raise nats.errors.BadSubjectError
    if not headers:
        return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise nats.errors.BadHeaderError(lines)
    block = f"{_HEAD}{lines}\r\n".encode()
    size = len(block)
    return b"".join((f"HPUB {subject} {reply} {size} {size + len(payload)}\r\n".encode(), block, payload, b"\r\n"))
