"""A JetStream stream in little: messages in sequence, compare-and-set by subject, lives, followers."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from natsched.errors import Conflict
from natsched.memory.timers import Timers


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One stored message.

    A marker stands where a key was deleted or ran out. A schedule is to go to the subject `target` at `at`.
    """

    seq: int
    subject: str
    data: bytes
    marker: bool = False
    at: datetime | None = None
    target: str | None = None


class Stream:
    """Messages by sequence and by subject.

    With `marker_ttl` what ends by time or by `mark` leaves a marker of that life, as in a KV bucket.
    """

    def __init__(self, timers: Timers, *, marker_ttl: timedelta | None = None) -> None:
        self._timers: Final = timers
        self._marker_ttl: Final = marker_ttl
        self._messages: Final[dict[int, Message]] = {}
        self._last: Final[dict[str, int]] = {}
        self._seq = 0
        self._followers: Final[list[Callable[[Message], None]]] = []

    def get(self, seq: int) -> Message | None:
        return self._messages.get(seq)

    def last(self, subject: str) -> Message | None:
        """Return the last message of the subject, which may be a marker."""
        return self._messages.get(self._last.get(subject, 0))

    def put(
        self,
        subject: str,
        data: bytes,
        *,
        expected: int | None = None,
        ttl: timedelta | None = None,
        at: datetime | None = None,
        target: str | None = None,
    ) -> Message:
        """Store in the place of what the subject held; `Conflict` if its last sequence is not `expected`."""
        self._check(subject, expected)
        message = Message(seq=self._seq + 1, subject=subject, data=data, at=at, target=target)
        return self._replace(message, ttl)

    def mark(self, subject: str, *, expected: int) -> None:
        """Leave a marker in the place of what the subject held; `Conflict` as in `put`."""
        self._check(subject, expected)
        self._replace(Message(seq=self._seq + 1, subject=subject, data=b"", marker=True), self._marker_ttl)

    def append(self, subject: str, data: bytes) -> None:
        """Store beside what the subject holds; `last` does not show it."""
        self._store(Message(seq=self._seq + 1, subject=subject, data=data))

    def remove(self, seq: int) -> None:
        """Take the message out and leave nothing; gone already is well."""
        message = self._messages.pop(seq, None)
        if message is not None and self._last.get(message.subject) == seq:
            del self._last[message.subject]

    def newest(self) -> Iterator[Message]:
        """Go through what is there, markers too, the newest first."""
        return reversed(self._messages.values())

    def oldest(self) -> Iterator[Message]:
        """Go through what is there, markers too, the oldest first."""
        return iter(self._messages.values())

    async def walk(
        self, matches: Callable[[Message], bool], *, chunk: int, after: int = 0
    ) -> AsyncGenerator[Sequence[Message], None]:
        """Walk by sequence, without markers; what is rewritten meanwhile comes (again) at its new place."""
        while after < self._seq:
            there = []
            for message in self.newest():
                if message.seq <= after:
                    break
                if not message.marker and matches(message):
                    there.append(message)
            after = self._seq
            there.reverse()
            for start in range(0, len(there), chunk):
                await checkpoint()
                part = [message for message in there[start : start + chunk] if message.seq in self._messages]
                if part:
                    yield part

    @asynccontextmanager
    async def follow(self, matches: Callable[[Message], bool]) -> AsyncGenerator[AsyncIterator[Message], None]:
        """Follow the matching messages, markers too, that are stored from now on."""
        send, receive = anyio.create_memory_object_stream[Message](inf)

        def follower(message: Message) -> None:
            if matches(message):
                send.send_nowait(message)

        with send, receive:
            self.on_stored(follower)
            try:
                yield receive
            finally:
                self._followers.remove(follower)

    def on_stored(self, follower: Callable[[Message], None]) -> None:
        """Call the follower with each message, markers too, that is stored from now on."""
        self._followers.append(follower)

    def _check(self, subject: str, expected: int | None) -> None:
        last = self._last.get(subject, 0)
        if expected is not None and last != expected:
            raise Conflict(f"{subject} is at {last}, not at {expected}", key=subject, expected=expected, last=last)

    def _replace(self, message: Message, ttl: timedelta | None) -> Message:
        self._messages.pop(self._last.get(message.subject, 0), None)
        self._last[message.subject] = message.seq
        if ttl is not None:
            self._timers.at(self._timers.now() + ttl, partial(self._end, message))
        self._store(message)
        return message

    def _store(self, message: Message) -> None:
        self._seq = message.seq
        self._messages[message.seq] = message
        for follower in tuple(self._followers):
            follower(message)

    def _end(self, message: Message) -> None:
        if message.seq not in self._messages:
            return
        if self._marker_ttl is None or message.marker:
            self.remove(message.seq)
        else:
            self.mark(message.subject, expected=message.seq)


def below(key: str, prefix: str) -> bool:
    """Tell whether a key is the prefix or starts with its tokens; all do with an empty one."""
    return not prefix or key == prefix or key.startswith(f"{prefix}.")
