"""What is told in passing: that an execution runs, so that no run waits for that to be stored.

What cannot be told at once is tried again in order; a replica that dies has told less, which a receiver learns
from the next change.
"""

from collections import deque
from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.executions import Record
from natsched.core.jobs import Spec
from natsched.errors import Unavailable
from natsched.logs import get_logger
from natsched.protocol.heralding import Herald

_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0

log = get_logger(__name__)


class Announcements:
    """The changes that are still to be told, `limit` of them at most."""

    def __init__(self, herald: Herald, clock: Clock, *, limit: int) -> None:
        self._herald = herald
        self._clock = clock
        self._limit = limit
        self._waiting: deque[tuple[Spec, Record]] = deque()
        self._some = anyio.Event()

    def add(self, spec: Spec, record: Record) -> None:
        """Tell of a change soon; one too many is left untold."""
        if len(self._waiting) >= self._limit:
            log.warning("a status change is not told", action="notice_failed", job=record.job, status=record.status)
            return
        self._waiting.append((spec, record))
        self._some.set()

    async def run(self) -> None:
        """Tell for ever."""
        pause = _PAUSE
        while True:
            if not self._waiting:
                self._some = anyio.Event()
                await self._some.wait()
            spec, record = self._waiting[0]
            try:
                await self._herald.tell(spec, record)
            except Unavailable as error:
                log.debug("a status change is told later", action="notice_later", error=str(error))
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _PAUSE
            self._waiting.popleft()
