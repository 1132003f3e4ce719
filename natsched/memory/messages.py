"""Messages in memory: subjects with who listens there, and streams of others that keep what is published."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from natsched.errors import Unavailable
from natsched.memory.timers import Timers
from natsched.ports import Kept, Said

PREFIX: Final = "scheduler"
_MESSAGE_ID: Final = "nats-msg-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as a listener gets it; the names of the headers are in lower case."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    reply: str = ""


Listener: TypeAlias = Callable[[Heard], None]


@dataclass(slots=True, eq=False)
class Subscription:
    """Who listens where; of those of one `queue` one gets a message."""

    subject: str
    queue: str
    listener: Listener


@dataclass(slots=True)
class Log:
    """A stream of others, as far as a publisher sees it."""

    name: str
    subjects: tuple[str, ...]
    messages: list[Heard] = field(default_factory=list)
    ids: dict[str, tuple[datetime, int]] = field(default_factory=dict)


class MemoryRequest:
    """`ports.Request` in memory."""

    def __init__(self, messages: "MemoryMessages", subject: str, inbox: str) -> None:
        self._messages = messages
        self._subject = subject
        self._said: deque[Said] = deque()
        self._news = anyio.Event()
        self.answers: Final = f"{inbox}.answer"
        self.check_ins: Final = f"{inbox}.check-in"

    async def send(self, payload: bytes, headers: Mapping[str, str]) -> None:
        await checkpoint()
        if not self._messages.hand_out(self._subject, payload, headers, reply=self.answers):
            self._add(Said(kind="nobody"))

    async def receive(self) -> Said:
        while not self._said:
            self._news = anyio.Event()
            await self._news.wait()
        return self._said.popleft()

    def hear(self, heard: Heard) -> None:
        is_answer = heard.subject == self.answers
        self._add(Said(kind="answer" if is_answer else "check-in", data=heard.data, headers=heard.headers))

    def _add(self, said: Said) -> None:
        self._said.append(said)
        self._news.set()


class MemoryMessages:
    """`ports.Messages` in memory; `subscribe` and `add_stream` are for who plays the others."""

    def __init__(self, timers: Timers, *, duplicates_window: timedelta) -> None:
        self._timers = timers
        self._window = duplicates_window
        self._subscriptions: list[Subscription] = []
        self._logs: list[Log] = []
        self._opened = 0

    def subscribe(self, subject: str, listener: Listener, *, queue: str = "") -> Callable[[], None]:
        """Listen on a subject (wildcards), until what is returned is called."""
        subscription = Subscription(subject, queue, listener)
        self._subscriptions.append(subscription)
        return lambda: self._subscriptions.remove(subscription)

    def add_stream(self, name: str, *subjects: str) -> Log:
        """Keep what is published on these subjects (wildcards)."""
        log = Log(name, subjects)
        self._logs.append(log)
        return log

    def is_own(self, subject: str) -> bool:
        return f"{subject}.".startswith((f"{PREFIX}.", f"{PREFIX}-cancel."))

    def cancel_subject(self, execution: str, attempt: int) -> str:
        return f"{PREFIX}-cancel.{execution}.{attempt}"

    @asynccontextmanager
    async def request(self, subject: str) -> AsyncGenerator[MemoryRequest, None]:
        await checkpoint()
        self._opened += 1
        inbox = f"_INBOX.{self._opened}"
        request = MemoryRequest(self, subject, inbox)
        end = self.subscribe(f"{inbox}.*", request.hear)
        try:
            yield request
        finally:
            end()

    def publish(self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.hand_out(subject, payload, headers or {})

    def hand_out(self, subject: str, payload: bytes, headers: Mapping[str, str], *, reply: str = "") -> bool:
        """Hand a message to all who listen, and say whether anybody does."""
        named = {name.lower(): value for name, value in headers.items()}
        heard = Heard(subject=subject, data=payload, headers=named, reply=reply)
        chosen: dict[object, Subscription] = {}
        for one in self._subscriptions:
            if _matches(one.subject, subject):
                chosen.setdefault(one.queue or one, one)
        for one in chosen.values():
            if one.queue:  # the next message is another one's turn
                self._subscriptions.remove(one)
                self._subscriptions.append(one)
            one.listener(heard)
        return bool(chosen)

    async def store(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Kept:
        await checkpoint()
        self.publish(subject, payload, headers)
        named = {name.lower(): value for name, value in headers.items()}
        for log in self._logs:
            if any(_matches(pattern, subject) for pattern in log.subjects):
                return self._keep(log, Heard(subject=subject, data=payload, headers=named))
        raise Unavailable("No stream takes this subject.")

    def _keep(self, log: Log, heard: Heard) -> Kept:
        name, now = heard.headers.get(_MESSAGE_ID, ""), self._timers.now()
        at, seq = log.ids.get(name, (now, 0))
        if seq and now - at < self._window:
            return Kept(stream=log.name, seq=seq, duplicate=True)
        log.messages.append(heard)
        if name:
            log.ids[name] = now, len(log.messages)
        return Kept(stream=log.name, seq=len(log.messages))


def _matches(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return index < len(tokens)
        if index >= len(tokens) or part not in {"*", tokens[index]}:
            return False
    return len(wanted) == len(tokens)
