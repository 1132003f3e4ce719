"""Publishes that are acknowledged by JetStream, pipelined over one inbox."""

import asyncio
import json
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from natsched.errors import BackendError, Unavailable
from natsched.jetstream.inbox import STATUS, Inbox
from natsched.jetstream.translate import api_error, translate

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID: Final = "Nats-Msg-Id"
OUTSTANDING: Final = 4096
"""How many publishes may wait for their PubAck; a stream's leader refuses what makes more than 10,000 wait."""


class Publisher:
    """Publishes to streams. A publish that nobody answered is unknown, not failed."""

    def __init__(self, client: Client, inbox: Inbox, *, outstanding: int = OUTSTANDING) -> None:
        self._client = client
        self._inbox = inbox
        self._room = asyncio.Semaphore(outstanding)

    @property
    def max_payload(self) -> int:
        """The most bytes that the server takes, headers included."""
        return self._client.max_payload

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> int:
        """Publish and return the sequence in the stream.

        Raise `Conflict` if an expected sequence is not there, `Unavailable` without an answer in time.
        """
        async with self._room:
            question = self._inbox.ask()
            try:
                await self._client.publish(subject, payload, reply=question.reply, headers=headers)
            except BaseException as error:
                self._inbox.forget(question)
                raise translate(error) from error
            return sequence(await question.future)


def sequence(answer: Msg) -> int:
    """Read a PubAck: its sequence, or its error as ours."""
    data = answer.data
    colon = data.rfind(b":")
    if data[colon - 5 : colon] == b'"seq"' and not data.startswith(b'{"error"'):
        return int(data[colon + 1 : -1])
    if answer.headers and answer.headers.get(STATUS) == "503":
        raise Unavailable("No stream takes this subject now: it is missing, or its cluster has no leader.")
    try:
        ack = json.loads(data)
        error = ack.get("error")
        if error is None:
            return int(ack["seq"])
        code, err_code = int(error.get("code", 0)), int(error.get("err_code", 0))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BackendError("What answered a publish is no PubAck of JetStream.") from problem
    raise api_error(code, err_code, str(error.get("description", "")))
