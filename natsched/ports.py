"""What the services need from outside. `jetstream` and `memory` implement it; no rule of scheduling lives there.

Every call may raise `Unavailable`: no answer came in time, and a write may or may not have happened.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from natsched.core.executions import Record
from natsched.core.hints import Hint, Pending
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Stored
from natsched.core.webhooks import Notice


class JobStore(Protocol):
    """The documents of the jobs, each under its id, changed by compare-and-set alone."""

    async def read(self, job: JobId) -> Stored:
        """Read from the leader: nothing that was acknowledged before the call is missing from the answer."""
        ...

    async def read_many(self, jobs: Sequence[JobId]) -> Mapping[JobId, Stored]:
        """Read from whoever answers: the values may be old. Every id asked for is in the answer."""
        ...

    async def write(self, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        """Write if the key's last revision is `expected` (0: none), and return the new revision.

        Raise `Conflict` if it is not. With `ttl` (whole seconds) the document goes away by itself.
        """
        ...

    async def delete(self, job: JobId, *, expected: int) -> None:
        """Remove the key if its last revision is `expected`, else raise `Conflict`."""
        ...

    def scan(self, prefix: str = "", *, chunk: int = 256, after: int = 0) -> AsyncIterator[Sequence[Stored]]:
        """Walk the documents of `prefix` (whole tokens, or all) in chunks, by their revisions, beyond `after`.

        One that changes during the walk may come twice or, if it is created then, not at all.
        """
        ...

    def walk(self, *, chunk: int = 128) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Stored]]]:
        """Walk all documents as `scan` does, but as a replica: with least work for the server, and read ahead."""
        ...


class HintStream(Protocol):
    """The hints in the stream: those on a schedule, one for each subject, and those delivered.

    A hint's schedule subject is its job's, or for a `RunHint` that of its execution.
    """

    async def schedule(self, hint: Hint, at: datetime, *, expected: int) -> int:
        """Put the hint on its schedule, to be delivered at `at` (at once if that is past), and return the sequence.

        The schedule's subject must hold the sequence `expected` (0: nothing), else raise `Conflict`.
        """
        ...

    async def deliver(self, hint: Hint, *, once: str | None = None) -> None:
        """Put the hint among the deliveries at once; one of the same key, or `once`, in the window is not doubled."""
        ...

    async def scheduled(self, hints: Sequence[Hint]) -> Sequence[Pending | None]:
        """Look up what lies on the schedule subject of each hint, in order, from the leader if there is but one."""
        ...

    async def scheduled_of(self, jobs: Sequence[JobId]) -> Mapping[JobId, Pending]:
        """Look up the plan schedules of many jobs from whoever answers; those without one are left out."""
        ...

    async def delete(self, seq: int) -> None:
        """Delete the message of that sequence; gone already is well."""
        ...

    def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Pending]]:
        """Walk all schedules in chunks."""
        ...

    async def deliveries(self) -> Sequence[Pending]:
        """List what is delivered and not yet acknowledged, of all queues (may be old by moments)."""
        ...


class Delivery(Protocol):
    """A hint that is due, handed to this replica until it acknowledges it or stays silent for `ack_wait`.

    `hint` is None if the message cannot be read, `problem` then says why. The three answers do not wait.
    """

    @property
    def hint(self) -> Hint | None: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def seq(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    def ack(self) -> None: ...
    def nak(self, delay: timedelta | None = None) -> None: ...
    def in_progress(self) -> None: ...


class Intake(Protocol):
    """A queue's deliveries as they come to this replica."""

    def want(self, room: int) -> None:
        """Say how many more deliveries there is room for, in all; may be said again at any time."""
        ...

    async def receive(self) -> Sequence[Delivery]:
        """Wait for deliveries and return those that are there, at least one. Outages are waited out."""
        ...


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


class History(Protocol):
    """The records of executions, created once, kept for a time."""

    async def create(self, record: Record, *, ttl: timedelta) -> bool:
        """Keep the record; False if one of the same job, execution and mark (`Record.mark`) was there already."""
        ...

    async def get(self, job: str, execution: str, attempt: int) -> Record | None:
        """Read from the leader; a record that cannot be read is reported, and counts as none."""
        ...

    async def list(
        self, job: str | None = None, execution: str | None = None, *, limit: int = 100
    ) -> Sequence[Record]:
        """Return the newest records first, at most `limit`: all, or of a job, or of one execution."""
        ...

    def walk(self, *, chunk: int = 256) -> AsyncIterator[Sequence[Record]]:
        """Walk all records in the order of their ends, in chunks; those that cannot be read are left out."""
        ...

    def follow(
        self, job: str | None = None, execution: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """Follow the records that are created from the moment the context is entered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A held key of the locks bucket."""

    key: str
    revision: int


class Locks(Protocol):
    """Keys that go away by themselves unless they are renewed."""

    async def create(self, key: str, value: bytes, *, ttl: timedelta) -> Lock:
        """Take a key that nobody holds, else raise `Conflict`."""
        ...

    async def renew(self, lock: Lock, value: bytes, *, ttl: timedelta) -> Lock:
        """Hold on for another `ttl`; `Conflict` if it went to somebody else or ran out."""
        ...

    async def release(self, lock: Lock) -> None:
        """Give the key back; `Conflict` if it is held no more."""
        ...

    async def put(self, key: str, value: bytes, *, ttl: timedelta) -> None:
        """Set a key that is nobody's lock: the last writer's value stays, for `ttl`."""
        ...

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """Read value and revision from the leader; None if nobody holds the key."""
        ...

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        """Return the held keys at and below `prefix` (whole tokens) with their values."""
        ...

    def endings(self, prefix: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Follow the keys at and below `prefix` that end, by release or by time, from the moment it is entered.

        An empty string means: the view was lost for a while, something may have been overseen.
        """
        ...

    def settings(self, prefix: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Follow the keys at and below `prefix` that are set; otherwise as `endings`."""
        ...


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered to a request; `code` and `problem` say why it was not done, if it was not."""

    data: bytes
    code: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One thing that a service does for whoever asks on its subject, with data and headers."""

    name: str
    subject: str
    metadata: Mapping[str, str]
    answer: Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]


class Offers(Protocol):
    """What is done for others on request."""

    def offer(
        self, name: str, version: str, description: str, endpoints: Sequence[Endpoint]
    ) -> AbstractAsyncContextManager[None]:
        """Answer requests for as long as the context lasts, many at once; one of all who offer it answers each."""
        ...


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


__all__ = [
    "Backend",
    "Delivery",
    "ExecutionId",
    "HintStream",
    "History",
    "Intake",
    "JobStore",
    "Kept",
    "LeaseId",
    "Link",
    "Lock",
    "Locks",
    "Messages",
    "NoticeDelivery",
    "NoticeIntake",
    "Outbox",
    "Pending",
    "Request",
    "Said",
]
