"""The hints, as a stream with message schedules keeps them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from anyio.lowlevel import checkpoint

from natsched.core.hints import Hint, Pending, encode_hint
from natsched.core.jobs import JobId
from natsched.memory.stream import Message, Stream, below
from natsched.memory.subjects import DELIVERIES, delivery_of, plan_schedule, read_pending, schedule_of
from natsched.memory.timers import Timers
from natsched.memory.window import Window


class MemoryHints:
    """`ports.HintStream` in memory."""

    def __init__(self, stream: Stream, timers: Timers, window: Window, *, firing_delay: timedelta) -> None:
        self._stream = stream
        self._timers = timers
        self._firing_delay = firing_delay
        self._window = window

    async def schedule(self, hint: Hint, at: datetime, *, expected: int) -> int:
        await checkpoint()
        message = self._stream.put(
            schedule_of(hint), encode_hint(hint), expected=expected, at=at, target=delivery_of(hint)
        )
        self._timers.at(at + self._firing_delay, partial(self._fire, message.seq))
        return message.seq

    async def deliver(self, hint: Hint, *, once: str | None = None) -> None:
        await checkpoint()
        if self._window.lets(once or hint.key):
            self._stream.append(delivery_of(hint), encode_hint(hint))

    async def scheduled(self, hints: Sequence[Hint]) -> Sequence[Pending | None]:
        await checkpoint()
        return [self._pending(schedule_of(hint)) for hint in hints]

    async def scheduled_of(self, jobs: Sequence[JobId]) -> Mapping[JobId, Pending]:
        await checkpoint()
        found = {job: self._pending(plan_schedule(job)) for job in jobs}
        return {job: pending for job, pending in found.items() if pending}

    async def delete(self, seq: int) -> None:
        await checkpoint()
        self._stream.remove(seq)

    async def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Pending]]:
        async for messages in self._stream.walk(lambda message: message.at is not None, chunk=chunk):
            yield [read_pending(message) for message in messages]

    async def deliveries(self) -> Sequence[Pending]:
        await checkpoint()
        return [read_pending(m) for m in self._stream.oldest() if below(m.subject, DELIVERIES)]

    def _pending(self, subject: str) -> Pending | None:
        message = self._stream.last(subject)
        return read_pending(message) if message else None

    def _fire(self, seq: int) -> None:
        message = self._stream.get(seq)
        if message is not None:
            self._stream.remove(seq)
            self._stream.append(_target(message), message.data)


def _target(message: Message) -> str:
    assert message.target is not None
    return message.target
