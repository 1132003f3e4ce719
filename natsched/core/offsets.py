"""How the server's clock is told from round trips: the sample with the shortest trip is the truest."""

from collections import deque
from dataclasses import dataclass
from typing import Final

KEPT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round trip: sent and received by the monotonic clock, the server's time in between, all seconds."""

    sent: float
    received: float
    server: float

    @property
    def trip(self) -> float:
        return self.received - self.sent

    @property
    def base(self) -> float:
        """What the monotonic clock must be moved by to show the server's time."""
        return self.server - (self.sent + self.received) / 2


class OffsetFilter:
    """Keeps the last few samples and answers with the base of the one whose trip was the shortest.

    A server whose clock was stepped disagrees with every kept sample by more than a trip: they are forgotten.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    def add(self, sample: Sample) -> float:
        """Take a sample in and return the best base known."""
        if self._samples:
            best = min(self._samples, key=lambda kept: kept.trip)
            if abs(sample.base - best.base) > (sample.trip + best.trip) / 2 + 0.005:
                self._samples.clear()
        self._samples.append(sample)
        return min(self._samples, key=lambda kept: kept.trip).base
