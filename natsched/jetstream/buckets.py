"""KV buckets by their subjects: compare-and-set with a life for each key, which `KeyValue` of nats-py lacks."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Final

from natsched.jetstream.naming import Names
from natsched.jetstream.publisher import EXPECTED, Publisher
from natsched.jetstream.requests import Message, Requests

MARKER_LIFE: Final = timedelta(minutes=1)
"""How long a deleted key leaves a marker; who looks for endings must come by within that time."""

_HEADROOM: Final = 1024
"""What is left of a server's `max_payload` for headers."""


class Bucket:
    """One KV bucket. Reads show markers, which stand where a key was deleted or ran out."""

    def __init__(self, name: str, names: Names, publisher: Publisher, requests: Requests) -> None:
        self._publisher = publisher
        self._requests = requests
        self._stored = names.key(name, "")
        self._written = names.key_to_publish(name, "")
        self.stream: Final = names.bucket_stream(name)

    @property
    def max_value(self) -> int:
        """The most bytes that the server takes as a value."""
        return self._publisher.max_payload - _HEADROOM

    def subject(self, keys: str) -> str:
        """Return the subject that the keys, which may have wildcards, are stored under."""
        return self._stored + keys

    def key(self, subject: str) -> str:
        return subject[len(self._stored) :]

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl: timedelta | None = None) -> int:
        """Write if the key's last revision is `expected` (0: none), else `Conflict`; return the new one.

        With `expected` None write over whatever is there.
        """
        headers = {} if expected is None else {EXPECTED: str(expected)}
        if ttl is not None:
            headers["Nats-TTL"] = seconds(ttl)
        return await self._publisher.publish(self._written + key, value, headers)

    async def delete(self, key: str, *, expected: int) -> None:
        """Leave a marker in place of the value if the key's last revision is `expected`, else `Conflict`."""
        headers = {EXPECTED: str(expected), "KV-Operation": "DEL", "Nats-TTL": seconds(MARKER_LIFE)}
        await self._publisher.publish(self._written + key, b"", headers)

    async def last(self, key: str) -> Message | None:
        """Read a key from the leader."""
        return await self._requests.last(self.stream, self._stored + key)

    async def last_of(self, keys: Sequence[str]) -> Mapping[str, Message]:
        """Read many keys from whoever answers."""
        messages = await self._requests.last_of(self.stream, [self._stored + key for key in keys])
        return {message.subject[len(self._stored) :]: message for message in messages}

    async def walk(self, prefix: str, *, chunk: int, after: int = 0) -> AsyncIterator[Mapping[str, Message]]:
        """Walk the values, without markers, of the key `prefix` and those below it; of all keys if it is empty.

        A filter takes either the key or what is below it, so the key is read by itself and comes in its place.
        """
        own = await self.last(prefix) if prefix else None
        if own is not None and (own.is_marker or own.seq <= after):
            own = None
        below = self.subject(f"{prefix}.>") if prefix else ">"  # `>` as it is costs the server least by far
        async for messages in self._requests.walk(self.stream, below, chunk=chunk, after=after):
            values = {self.key(message.subject): message for message in messages if not message.is_marker}
            if own is not None and own.seq < messages[-1].seq:
                early = {key: values.pop(key) for key, message in list(values.items()) if message.seq < own.seq}
                for part in (early, {prefix: own}):
                    if part:
                        yield part
                own = None
            if values:
                yield values
        if own is not None:
            yield {prefix: own}

    def within(self, prefix: str) -> Sequence[str]:
        """Return the subjects of a key and of all below it; with no key of all."""
        if not prefix:
            return (f"{self._stored}>",)
        return (f"{self._stored}{prefix}", f"{self._stored}{prefix}.>")


def seconds(life: timedelta) -> str:
    """Write a message's life for the server, which knows whole seconds from 1 on."""
    return f"{max(ceil(life.total_seconds()), 1)}s"
