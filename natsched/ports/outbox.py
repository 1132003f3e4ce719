"""Notices of changes of status, on their way to webhooks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from natsched.core.webhooks import Notice


class Outbox(Protocol):
    """The notices of status changes that are still to be sent."""

    async def put(self, notice: Notice) -> None:
        """Store a notice until it is sent; one of the same key within the window is not doubled."""
        ...


class NoticeDelivery(Protocol):
    """A notice, handed to this replica; all else is as with `Delivery`."""

    @property
    def notice(self) -> Notice | None: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def attempts(self) -> int: ...
    def ack(self) -> None: ...
    def nak(self, delay: timedelta | None = None) -> None: ...
    def in_progress(self) -> None: ...


class NoticeIntake(Protocol):
    """The notices as they come to this replica; as `Intake`."""

    def want(self, room: int) -> None: ...
    async def receive(self) -> Sequence[NoticeDelivery]: ...
