"""The connection, and all ports joined."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from natsched.ports.hints import HintStream, Intake
from natsched.ports.history import History
from natsched.ports.jobs import JobStore
from natsched.ports.locks import Locks
from natsched.ports.messages import Messages
from natsched.ports.outbox import NoticeIntake, Outbox


class Link(Protocol):
    """The connection that a backend stands on, and how often it was made anew."""

    @property
    def is_connected(self) -> bool: ...
    @property
    def reconnects(self) -> int: ...


class Backend(Protocol):
    """All of the above, joined."""

    @property
    def jobs(self) -> JobStore: ...
    @property
    def hints(self) -> HintStream: ...
    @property
    def history(self) -> History: ...
    @property
    def locks(self) -> Locks: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def outbox(self) -> Outbox: ...

    def intake(self, queue: str) -> AbstractAsyncContextManager[Intake]:
        """Open the deliveries of a queue; provisions the queue's consumer if it is missing."""
        ...

    def notices(self) -> AbstractAsyncContextManager[NoticeIntake]:
        """Open the notices; provisions their consumer if it is missing."""
        ...

    async def server_time(self) -> datetime:
        """Ask the server for its time, in one round trip."""
        ...
