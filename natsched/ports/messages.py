"""Messages on subjects that are not natsched's own."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back for a request: a check-in on its way, its answer, or that nobody listens.

    The names of the headers are in lower case.
    """

    kind: Literal["check-in", "answer", "nobody"]
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where a stream keeps a message; a `duplicate` was there before, under the same `Nats-Msg-Id`."""

    stream: str
    seq: int
    duplicate: bool = False


class Request(Protocol):
    """A request to whoever listens on its subject. `check_ins` is where he may say how far he is."""

    @property
    def check_ins(self) -> str: ...

    async def send(self, payload: bytes, headers: Mapping[str, str]) -> None:
        """Send it, once; while there is no connection that waits."""
        ...

    async def receive(self) -> Said:
        """Wait for what is said next; the first answer, or that nobody listens, is the last of it.

        Raise `PermissionDenied` where the subject may not be used. An answer that came in an outage is lost.
        """
        ...


class Messages(Protocol):
    """Messages on subjects that are not natsched's own."""

    def is_own(self, subject: str) -> bool:
        """Say whether natsched keeps what is published on that subject for itself."""
        ...

    def cancel_subject(self, execution: str, attempt: int) -> str:
        """Name the subject on which the worker of an attempt is told to stop; no stream of natsched takes it."""
        ...

    def request(self, subject: str) -> AbstractAsyncContextManager[Request]:
        """Open a request; what is said after the context has ended is ignored."""
        ...

    def publish(self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Publish without waiting, to whoever listens; nobody confirms it."""
        ...

    async def store(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Kept:
        """Publish to the stream that takes the subject; `Unavailable` if none says that it has the message."""
        ...
