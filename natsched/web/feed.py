"""What ends, as it ends: the history, followed once for all who listen, and only while somebody does.

Who reads too slowly loses the oldest of what waits and is told how many; nobody is waited for.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from natsched.client.forms import record_form
from natsched.clock import Clock
from natsched.core.executions import Record
from natsched.errors import BackendError
from natsched.logs import get_logger
from natsched.ports import History
from natsched.web.failing import Refused

MOST: Final = 64
ROOM: Final = 256
_AGAIN: Final = 1.0

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Listener:
    """One who listens, to jobs at and below a prefix. `lost` counts what had no room and was not told of yet."""

    prefix: str
    waiting: deque[str] = field(default_factory=lambda: deque(maxlen=ROOM))
    lost: int = 0
    closed: bool = False
    some: anyio.Event = field(default_factory=anyio.Event)

    def take(self) -> tuple[Sequence[str], int]:
        """Return what waits and how much was lost before it."""
        taken, lost = list(self.waiting), self.lost
        self.waiting.clear()
        self.lost, self.some = 0, anyio.Event()
        return taken, lost

    def put(self, text: str) -> None:
        self.lost += len(self.waiting) == ROOM
        self.waiting.append(text)
        self.some.set()

    def hears(self, job: str) -> bool:
        return not self.prefix or job == self.prefix or job.startswith(f"{self.prefix}.")


class Feed:
    """Hands each new record to all who listen, as the text of an event."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._listeners: list[Listener] = []
        self._changed = anyio.Event()
        self._closed = False

    @contextmanager
    def listening(self, prefix: str = "") -> Iterator[Listener]:
        """Listen for as long as the context lasts; `Refused` if too many do."""
        if len(self._listeners) >= MOST:
            raise Refused(429, f"{MOST} streams of events are open here: close one, or ask another replica")
        listener = Listener(prefix, closed=self._closed)
        self._listeners.append(listener)
        self._change()
        try:
            yield listener
        finally:
            self._listeners.remove(listener)
            self._change()

    def close(self) -> None:
        """Have every stream end."""
        self._closed = True
        for listener in self._listeners:
            listener.closed = True
            listener.some.set()

    async def run(self) -> None:
        """Follow for ever, while somebody listens; outages are waited out."""
        while True:
            await self._until(listened_to=True)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._follow, name="follow the history")
                    await self._until(listened_to=False)
                    tasks.cancel_scope.cancel()
            except* Exception as group:  # noqa: BLE001 - told, and begun again
                tell = log.info if group.split(BackendError)[1] is None else log.exception
                tell("the history cannot be followed now", action="feed_failed", error=str(group.exceptions[0]))
                await self._clock.sleep(_AGAIN)

    async def _follow(self) -> None:
        async with self._history.follow() as records:
            async for record in records:
                hearing = [listener for listener in self._listeners if listener.hears(record.job)]
                text = _event(record) if hearing else ""
                for listener in hearing:
                    listener.put(text)

    async def _until(self, *, listened_to: bool) -> None:
        while bool(self._listeners) is not listened_to:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _event(record: Record) -> str:
    data = json.dumps(record_form(record), ensure_ascii=False, separators=(",", ":"))
    return f"id: {record.job}.{record.execution}.{record.mark}\nevent: record\ndata: {data}\n\n"
