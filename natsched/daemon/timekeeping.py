"""Keeping the clock right by the server's."""

from datetime import timedelta
from typing import Final

from natsched.clock import ServerClock
from natsched.core.offsets import OffsetFilter, Sample
from natsched.core.zones import EPOCH
from natsched.errors import BackendError, Unavailable
from natsched.logs import get_logger
from natsched.ports import Backend

INTERVAL: Final = 5.0
FIRST_SAMPLES: Final = 5
_AGAIN: Final = 0.5
LARGE: Final = timedelta(milliseconds=250)

log = get_logger(__name__)


class Timekeeper:
    """Measures the server's time by round trips and moves the clock to it."""

    def __init__(self, backend: Backend, clock: ServerClock, *, every: float = INTERVAL) -> None:
        self._every = every
        self._backend = backend
        self._clock = clock
        self._filter = OffsetFilter()
        self._warned = False
        self._answered: float | None = None

    def silent_for(self) -> float | None:
        """How many seconds ago the server told its time last; None if it never did."""
        return None if self._answered is None else self._clock.monotonic() - self._answered

    async def start(self) -> None:
        """Take the first samples, so that no run is held by a clock that was never compared."""
        taken = 0
        while taken < FIRST_SAMPLES:
            try:
                await self.sample()
                taken += 1
            except Unavailable as error:
                log.warning("no sample of the server's time yet", action="clock_wait", error=str(error))
                await self._clock.sleep(_AGAIN)

    async def sample(self) -> None:
        """Take one sample."""
        sent = self._clock.monotonic()
        server = await self._backend.server_time()
        received = self._clock.monotonic()
        found = Sample(sent=sent, received=received, server=(server - EPOCH).total_seconds())
        self._clock.follow(self._filter.add(found))
        self._answered = received
        self._warn()

    async def run(self) -> None:
        """Sample for ever; outages are waited out."""
        while True:
            await self._clock.sleep(self._every)
            try:
                await self.sample()
            except BackendError as error:
                log.debug("no sample of the server's time", action="clock_sample_failed", error=str(error))

    def _warn(self) -> None:
        offset = self._clock.offset()
        large = abs(offset) > LARGE
        if large and not self._warned:
            log.warning(
                "this machine's clock is off the server's; runs go by the server's",
                action="clock_offset",
                offset_seconds=round(offset.total_seconds(), 3),
            )
        self._warned = large
