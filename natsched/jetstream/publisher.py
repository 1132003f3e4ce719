"""Publishes that JetStream acknowledges, pipelined over one inbox."""

import json
from typing import Final

from natsched.errors import BackendError, Unavailable
from natsched.jetstream.inbox import Inbox, Reply
from natsched.jetstream.translate import api_error
from natsched.jetstream.wire import WireClient, status_of

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID: Final = "Nats-Msg-Id"


class Publisher:
    """Publishes to streams. A publish that nobody answered is unknown, not failed."""

    def __init__(self, client: WireClient, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox

    @property
    def max_payload(self) -> int:
        """The most bytes that the server takes, headers included."""
        return self._client.max_payload

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> int:
        """Publish and return the sequence in the stream.

        Raise `Conflict` if an expected sequence is not there, `Unavailable` without an answer in time.
        """
        return sequence(await self._inbox.ask(subject, payload, headers))


def sequence(reply: Reply) -> int:
    """Read a PubAck: its sequence, or its error as ours."""
    data = reply.data
    colon = data.rfind(b":")
    if data[colon - 5 : colon] == b'"seq"' and data.startswith(b'{"stream"') and data[colon + 1 : -1].isdigit():
        return int(data[colon + 1 : -1])  # as the server writes nearly all of them
    if status_of(reply.headers) == b"503":
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
