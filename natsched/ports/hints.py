"""Hints: scheduled, and handed out when they are due."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from natsched.core.hints import Hint, Pending
from natsched.core.jobs import JobId


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
