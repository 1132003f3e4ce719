"""Requests and messages on the subjects of others, over the one connection.

A request may go on for hours and is answered more than once: by check-ins, then by its answer. So it has no
time limit here, and a break of the connection does not end it: who works on it may not have noticed.
"""

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio
from nats.aio.subscription import Subscription

from natsched.errors import BackendError, PermissionDenied, Unavailable
from natsched.jetstream.connection import Connection
from natsched.jetstream.inbox import Inbox, Reply
from natsched.jetstream.naming import Names
from natsched.jetstream.translate import api_error, translate, translated
from natsched.jetstream.wire import headers_of, status_of
from natsched.ports import Kept, Said

UNHEARD: Final = 1024
"""How much that was said to a request is kept until it is received; of more the oldest is dropped."""

_CHECK_IN: Final = b"check-in"


class PlainRequest:
    """`ports.Request` over core NATS."""

    def __init__(self, connection: Connection, subject: str, inbox: str) -> None:
        self._connection = connection
        self._inbox = inbox
        self._said: deque[Said] = deque(maxlen=UNHEARD)
        self._is_answered = False
        self._error: Exception | None = None
        self._news = anyio.Event()
        self.subject: Final = subject
        self.check_ins: Final = f"{inbox}.{_CHECK_IN.decode()}"

    async def send(self, payload: bytes, headers: Mapping[str, str]) -> None:
        await self._connection.wait_connected()
        try:
            self._connection.nc.post(self.subject, payload, f"{self._inbox}.answer", headers)
        except Exception as error:
            raise translate(error) from error

    async def receive(self) -> Said:
        while not self._said:
            if self._error is not None:
                raise self._error
            self._news = anyio.Event()
            await self._news.wait()
        return self._said.popleft()

    def hear(self, said: Said) -> None:
        """Keep what was said, up to the answer."""
        if self._is_answered:
            return
        self._is_answered = said.kind != "check-in"
        self._said.append(said)
        self._news.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._news.set()


class PlainMessages:
    """`ports.Messages` over core NATS and JetStream, with an inbox for all requests."""

    def __init__(self, connection: Connection, inbox: Inbox, names: Names) -> None:
        self._connection = connection
        self._inbox = inbox
        self._names = names
        self._requests: dict[bytes, PlainRequest] = {}
        self._opened = 0
        self._prefix = ""
        self._subscription: Subscription | None = None
        self._forget: Callable[[], None]

    async def open(self) -> None:
        client = self._connection.nc
        self._prefix = f"{client.new_inbox()}."
        self._forget = self._connection.on_denial(self._deny)
        with translated():
            self._subscription = await client.listen(f"{self._prefix}*.*", self._take)

    async def close(self) -> None:
        """End the subscription."""
        self._forget()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with translated():
                await self._connection.nc.unlisten(subscription)

    def is_own(self, subject: str) -> bool:
        return self._names.is_own(subject)

    def cancel_subject(self, execution: str, attempt: int) -> str:
        return self._names.cancel(execution, attempt)

    @asynccontextmanager
    async def request(self, subject: str) -> AsyncGenerator[PlainRequest, None]:
        self._opened += 1
        token = b"%d" % self._opened
        request = PlainRequest(self._connection, subject, f"{self._prefix}{self._opened}")
        self._requests[token] = request
        try:
            yield request
        finally:
            del self._requests[token]

    def publish(self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        try:
            self._connection.nc.post(subject, payload, headers=headers)
        except Exception as error:
            raise translate(error) from error

    async def store(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Kept:
        return _kept(await self._inbox.ask(subject, payload, dict(headers)))

    def _take(self, subject: bytes, _reply: bytes, data: bytes, headers: bytes) -> None:
        token, _, kind = subject[len(self._prefix) :].partition(b".")
        request = self._requests.get(token)
        if request is None:
            return
        if kind == _CHECK_IN:
            request.hear(Said(kind="check-in", data=data, headers=headers_of(headers)))
        elif status_of(headers) == b"503":
            request.hear(Said(kind="nobody"))
        else:
            request.hear(Said(kind="answer", data=data, headers=headers_of(headers)))

    def _deny(self, is_denied: Callable[[str], bool]) -> None:
        for request in self._requests.values():
            if is_denied(request.subject):
                request.fail(
                    PermissionDenied(f"{PermissionDenied.__doc__} ({request.subject})", subject=request.subject)
                )


def _kept(reply: Reply) -> Kept:
    """Read a PubAck, or its error as ours."""
    if status_of(reply.headers) == b"503":
        raise Unavailable("No stream takes this subject now: it is missing, or its cluster has no leader.")
    try:
        ack = json.loads(reply.data)
        error = ack.get("error")
        if error is None:
            return Kept(stream=str(ack["stream"]), seq=int(ack["seq"]), duplicate=bool(ack.get("duplicate")))
        code, err_code = int(error.get("code", 0)), int(error.get("err_code", 0))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BackendError("What answered a publish is no PubAck of JetStream.") from problem
    raise api_error(code, err_code, str(error.get("description", "")))
