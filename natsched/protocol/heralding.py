"""Telling of status changes: each goes into the outbox as it happens, before the write that would forget it.

So whoever dies between the two is followed by somebody who tells it again: a notice may come twice, never not.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from natsched.core.executions import Event, Record, advance
from natsched.core.jobs import Spec
from natsched.core.webhooks import Subscription, notices
from natsched.errors import BackendError, Unavailable
from natsched.logs import get_logger
from natsched.ports import Outbox

log = get_logger(__name__)


class Herald:
    """Puts notices into the outbox, for the job's own webhook and for those that all jobs have."""

    def __init__(self, outbox: Outbox, subscriptions: Sequence[Subscription] = ()) -> None:
        self._outbox = outbox
        self._subscriptions = tuple(subscriptions)

    def is_wanted(self, spec: Spec) -> bool:
        """Whether anybody may want to be told of the job; nearly always nobody."""
        return spec.webhook is not None or bool(self._subscriptions)

    async def tell_retry(self, spec: Spec, last: Record, now: datetime) -> None:
        """Tell that one more attempt was asked for by hand, of an execution whose last record this is."""
        status = advance(last.status, Event.RETRY_BY_HAND)
        asked = replace(last, status=status, ended_at=now, retry_at=now, reason="asked for by hand", error=None)
        await self.tell(spec, asked, after=last.attempt)

    async def tell(self, spec: Spec, record: Record, *, after: int | None = None) -> None:
        """Tell of a change, one by hand `after` an attempt; without an answer it is `Unavailable`: tell it again."""
        for notice in notices(record, spec.webhook, self._subscriptions, after=after):
            try:
                await self._outbox.put(notice)
            except Unavailable:
                raise
            except BackendError as error:
                log.warning("a status change cannot be told", action="notice_failed", id=notice.id, error=str(error))
