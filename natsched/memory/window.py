"""What a stream recognises a doubled message by, for a time."""

from datetime import datetime, timedelta

from natsched.memory.timers import Timers


class Window:
    """The ids of the messages of the last `duration`."""

    def __init__(self, timers: Timers, duration: timedelta) -> None:
        self._timers = timers
        self._duration = duration
        self._recent: dict[str, datetime] = {}

    def lets(self, key: str) -> bool:
        """Whether a message of that id is to be stored: none of it was within the window."""
        now = self._timers.now()
        while self._recent and (oldest := next(iter(self._recent.items())))[1] <= now:
            del self._recent[oldest[0]]
        if key in self._recent:
            return False
        self._recent[key] = now + self._duration
        return True
