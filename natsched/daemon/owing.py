"""Hints that are owed: what could not be published at once is tried again until it is.

A stream that lost its leader refuses for some seconds, a server that restarts for longer. To wait for that
would hold up the run whose claim owes the hint; to leave it to the sweep would stop the job until then.
"""

from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.hints import Hint, RunHint
from natsched.core.jobs import ExecutionId, JobId
from natsched.errors import BackendError, Unavailable
from natsched.logs import get_logger
from natsched.protocol.hinting import Hinter

_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 1.0

log = get_logger(__name__)


class Debts:
    """The newest hint of each plan and execution that is still to be published, `limit` of them at most."""

    def __init__(self, hinter: Hinter, clock: Clock, *, limit: int) -> None:
        self._hinter = hinter
        self._clock = clock
        self._limit = limit
        self._owed: dict[tuple[JobId, ExecutionId | None], Hint] = {}
        self._some = anyio.Event()

    def add(self, hint: Hint) -> None:
        """Owe a hint; one too many is the reconciler's to repair."""
        which = hint.job, hint.execution if isinstance(hint, RunHint) else None
        if which not in self._owed and len(self._owed) >= self._limit:
            log.warning("a hint is left to the reconciler", action="hint_failed", job=hint.job, hint=hint.key)
            return
        self._owed[which] = hint
        self._some.set()

    async def run(self) -> None:
        """Pay for ever."""
        while True:
            if not self._owed:
                self._some = anyio.Event()
                await self._some.wait()
            log.warning("hints cannot be published now; trying again", action="hints_owed", number=len(self._owed))
            pause = _PAUSE
            while self._owed:
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                await self.pay()
            log.info("all hints that were owed are published", action="hints_paid")

    async def pay(self) -> None:
        """Publish what is owed, up to the first that cannot be."""
        for which, hint in list(self._owed.items()):
            try:
                await self._hinter.hint(hint)
            except Unavailable as error:
                log.debug("a hint is still owed", action="hint_owed", job=hint.job, error=str(error))
                return
            except BackendError as error:
                log.warning(
                    "a hint could not be published; the reconciler will",
                    action="hint_failed",
                    job=hint.job,
                    hint=hint.key,
                    error=str(error),
                )
            if self._owed.get(which) is hint:
                del self._owed[which]
