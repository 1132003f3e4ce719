"""Hinting: the rule by which hints are published.

A hint goes on its schedule subject with the expected sequence 0. If something lies there, that is read: one of
an older document is replaced (its sequence expected), one of this document or a newer one stays. If the read
shows nothing, or the replacement is lost, it begins again. A hint that is due sooner than `lead` goes straight
among the deliveries, except for a repair: the server's window could swallow it there.
"""

from datetime import timedelta
from typing import Final

from natsched.clock import Clock
from natsched.core.hints import Hint
from natsched.core.planning import earlier
from natsched.errors import Conflict, Unavailable
from natsched.ports import HintStream

_ROUNDS: Final = 20


class Hinter:
    """Publishes hints; `lead` is how long before its start a hint is wanted by a replica."""

    def __init__(self, stream: HintStream, clock: Clock, *, lead: timedelta) -> None:
        self._stream = stream
        self._clock = clock
        self._lead = lead

    async def hint(self, hint: Hint) -> None:
        """Publish a hint under the rule."""
        at = earlier(hint.start, self._lead)
        if at <= self._clock.now():
            await self._stream.deliver(hint)
        else:
            await self._schedule(hint)

    async def wake(self, hint: Hint) -> None:
        """Deliver a hint once more, at once: what it waited for has ended with this revision of the document."""
        await self._stream.deliver(hint, once=f"{hint.key}@{hint.revision}")

    async def repair(self, hint: Hint) -> None:
        """Publish a hint through its schedule subject, however late: the server then fires it at once."""
        await self._schedule(hint)

    async def _schedule(self, hint: Hint) -> None:
        at = earlier(hint.start, self._lead)
        expected = 0
        for _ in range(_ROUNDS):
            try:
                await self._stream.schedule(hint, at, expected=expected)
            except Conflict:
                (found,) = await self._stream.scheduled([hint])
            else:
                return
            if found is None:
                expected = 0
            elif found.hint is not None and found.hint.revision >= hint.revision:
                return
            else:
                expected = found.seq
        raise Unavailable(f"the schedule of {hint.job} keeps changing: it is tried again later", job=hint.job)
