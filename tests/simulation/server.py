"""The server of a simulation: what it wrote and when, on the loop's own timers, with schedules of uncertain fate."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import anyio

from natsched.core.jobs import Job, JobId, Stored
from natsched.memory.backend import MemoryBackend
from natsched.memory.hints import MemoryHints
from natsched.memory.stream import Stream
from natsched.memory.timers import Timers
from natsched.memory.window import Window
from tests.simulation.drawing import Step
from tests.virtual import EPOCH, VirtualClock


class LoopTimers(Timers):
    """The memory server's timers as those of the virtual loop: a tenth of the cost."""

    def at(self, when: datetime, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_at((when - EPOCH).total_seconds(), callback)

    async def run(self) -> None:
        await anyio.sleep_forever()


class FickleHints(MemoryHints):
    """Schedules of which some fire late, twice, or get stuck until somebody replaces them."""

    def __init__(
        self,
        stream: Stream,
        timers: Timers,
        window: Window,
        *,
        firing_delay: timedelta,
        fates: Mapping[int, Step],
        befall: Callable[[Step], None],
    ) -> None:
        super().__init__(stream, timers, window, firing_delay=firing_delay)
        self.fates = fates
        self._befall = befall
        self._fired = 0

    def _fire(self, seq: int) -> None:
        message = self._stream.get(seq)
        if message is None:
            return
        self._fired += 1
        step = self.fates.get(self._fired)
        if step is not None:
            self._befall(step)
        match step and step.what:
            case "gets stuck":
                return
            case "fires late":
                self._timers.at(self._timers.now() + timedelta(seconds=0.9), partial(MemoryHints._fire, self, seq))
            case "fires twice":
                super()._fire(seq)
                assert message.target is not None
                self._stream.append(message.target, message.data)
            case _:
                super()._fire(seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A write of a document: by whom, when, and what lay there before."""

    by: str
    at: datetime
    stored: Stored
    before: Job | None

    @property
    def job(self) -> Job | None:
        return self.stored.job if isinstance(self.stored.job, Job) else None


@dataclass(slots=True)
class Ledger:
    """Every write of a document, in the order in which the server made them."""

    clock: VirtualClock
    written: list[Written] = field(default_factory=list)
    _of: dict[JobId, list[Stored]] = field(default_factory=lambda: defaultdict(list))

    def note(self, by: str, stored: Stored) -> None:
        known = self._of[stored.id]
        before = known[-1].job if known else None
        known.append(stored)
        self.written.append(
            Written(by=by, at=self.clock.now(), stored=stored, before=before if isinstance(before, Job) else None)
        )

    def before(self, stored: Stored) -> Stored:
        """Return what lay there a write ago, as a follower answers that is behind."""
        known = self._of[stored.id]
        return known[-2] if len(known) > 1 else stored


def hand_out_again(server: MemoryBackend) -> None:
    """Forget who has which delivery, as a server that restarted."""
    for consumer in server._consumers.values():
        for seq in list(consumer._silent_until):
            consumer.hand_back(seq)
