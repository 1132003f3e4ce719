"""A queue's deliveries, handed out as a durable pull consumer does."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from natsched.core.hints import Hint
from natsched.core.webhooks import Notice, decode_notice
from natsched.errors import DocumentError
from natsched.memory.stream import Message, Stream, below
from natsched.memory.subjects import DELIVERIES, NOTICES, read_hint
from natsched.memory.timers import Timers

D = TypeVar("D", bound="MemoryDelivery | MemoryNotice")


class Consumer(Generic[D]):
    """Hands each message of its subjects to one of the intakes with room, in turn, until it is acknowledged."""

    def __init__(
        self,
        subjects: str,
        stream: Stream,
        timers: Timers,
        read: "Callable[[Message, int, Consumer[D]], D]",
        *,
        ack_wait: timedelta,
    ) -> None:
        self._subjects = subjects
        self._read = read
        self._stream = stream
        self._timers = timers
        self._ack_wait = ack_wait
        self._fresh: deque[int] = deque()
        self._again: deque[int] = deque()
        self._silent_until: dict[int, datetime] = {}
        self._attempts: Counter[int] = Counter()
        self._waiting: deque[MemoryIntake[D]] = deque()
        for message in stream.oldest():
            self._stored(message)
        stream.on_stored(self._stored)

    def wait(self, intake: "MemoryIntake[D]") -> None:
        """Hand deliveries to the intake as long as it has room."""
        if intake not in self._waiting:
            self._waiting.append(intake)
        self._hand_out()

    def forget(self, intake: "MemoryIntake[D]") -> None:
        """Hand it no more; what it has is left to the time that it may be silent."""
        if intake in self._waiting:
            self._waiting.remove(intake)

    def ack(self, seq: int) -> None:
        self._stream.remove(seq)
        self._silent_until.pop(seq, None)
        self._attempts.pop(seq, None)

    def put_off(self, seq: int, delay: timedelta) -> None:
        """Hand it out again after the delay; nothing happens if it is handed to nobody."""
        if seq in self._silent_until:
            self._silent_until[seq] = until = self._timers.now() + delay
            self._timers.at(until, partial(self._expire, seq, until))

    def hand_back(self, seq: int) -> None:
        """Hand it out again at once; nothing happens if it is handed to nobody."""
        if self._silent_until.pop(seq, None):
            self._again.append(seq)
            self._hand_out()

    def in_progress(self, seq: int) -> None:
        self.put_off(seq, self._ack_wait)

    def _stored(self, message: Message) -> None:
        if below(message.subject, self._subjects):
            self._fresh.append(message.seq)
            self._hand_out()

    def _expire(self, seq: int, until: datetime) -> None:
        if self._silent_until.get(seq) == until:
            self.hand_back(seq)

    def _hand_out(self) -> None:
        while self._waiting and (message := self._next()):
            intake = self._waiting.popleft()
            if intake.room > 1:
                self._waiting.append(intake)
            intake.take(self._delivery(message))

    def _next(self) -> Message | None:
        for seqs in (self._again, self._fresh):
            while seqs:
                seq = seqs.popleft()
                if message := self._stream.get(seq):
                    return message
                self._attempts.pop(seq, None)
        return None

    def _delivery(self, message: Message) -> D:
        self._attempts[message.seq] += 1
        self._silent_until[message.seq] = self._timers.now()
        self.in_progress(message.seq)
        return self._read(message, self._attempts[message.seq], self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answering:
    """What a message that was handed out is answered by."""

    seq: int
    attempts: int
    problem: str | None
    consumer: "Consumer[MemoryDelivery] | Consumer[MemoryNotice]" = field(repr=False)

    def ack(self) -> None:
        self.consumer.ack(self.seq)

    def nak(self, delay: timedelta | None = None) -> None:
        if delay:
            self.consumer.put_off(self.seq, delay)
        else:
            self.consumer.hand_back(self.seq)

    def in_progress(self) -> None:
        self.consumer.in_progress(self.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDelivery(_Answering):
    """`ports.Delivery` in memory."""

    hint: Hint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNotice(_Answering):
    """`ports.NoticeDelivery` in memory."""

    notice: Notice | None


def queue_consumer(queue: str, stream: Stream, timers: Timers, *, ack_wait: timedelta) -> Consumer[MemoryDelivery]:
    """Return the consumer of a queue's deliveries."""

    def read(message: Message, attempts: int, consumer: Consumer[MemoryDelivery]) -> MemoryDelivery:
        _, hint, problem = read_hint(message)
        return MemoryDelivery(seq=message.seq, hint=hint, problem=problem, attempts=attempts, consumer=consumer)

    return Consumer(f"{DELIVERIES}.{queue}", stream, timers, read, ack_wait=ack_wait)


def notice_consumer(stream: Stream, timers: Timers, *, ack_wait: timedelta) -> Consumer[MemoryNotice]:
    """Return the consumer of the notices."""

    def read(message: Message, attempts: int, consumer: Consumer[MemoryNotice]) -> MemoryNotice:
        notice, problem = None, None
        try:
            notice = decode_notice(message.data)
        except DocumentError as error:
            problem = error.message
        return MemoryNotice(seq=message.seq, notice=notice, problem=problem, attempts=attempts, consumer=consumer)

    return Consumer(NOTICES, stream, timers, read, ack_wait=ack_wait)


class MemoryIntake(Generic[D]):
    """`ports.Intake` in memory."""

    def __init__(self, consumer: Consumer[D]) -> None:
        self._consumer = consumer
        self._arrived: deque[D] = deque()
        self._some = anyio.Event()
        self.room = 0

    def want(self, room: int) -> None:
        self.room = max(room - len(self._arrived), 0)
        if self.room:
            self._consumer.wait(self)
        else:
            self._consumer.forget(self)

    async def receive(self) -> Sequence[D]:
        await checkpoint()
        await self._some.wait()
        self._some = anyio.Event()
        arrived = tuple(self._arrived)
        self._arrived.clear()
        return arrived

    def take(self, delivery: D) -> None:
        """Keep what was handed here until it is received."""
        self.room -= 1
        self._arrived.append(delivery)
        self._some.set()
