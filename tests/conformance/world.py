"""What operations are played on, and how two plays are compared.

Revisions and sequences are compared by the order in which they were first seen, instants by their distance from
the start. Only what comes by itself may come later on JetStream than in memory, so such operations are told what
they wait for: the answer that memory gave.
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import unified_diff
from enum import StrEnum
from pprint import pformat
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import anyio
from hypothesis import strategies as st

from natsched.errors import Conflict, DocumentError, Unavailable
from natsched.ports import Backend, Intake, NoticeIntake
from tests.contract.servers import Server
from tests.contract.waiting import soon

T = TypeVar("T")
Answer: TypeAlias = Any
MOST_OPERATIONS: Final = 40
PATIENCE: Final = 15
"""Seconds to wait for what has to come."""

HOUR: Final = timedelta(hours=1)
MOMENT: Final = timedelta(seconds=1)
"""What is to happen while a sequence rests happens after that time, and a sequence has to be faster up to there."""


class Which(StrEnum):
    """The revision or sequence that a write expects."""

    NOTHING = "nothing"
    LAST = "last"
    FIRST = "first"
    NEVER = "never"


@dataclass(slots=True)
class World:
    """One server in the middle of a play."""

    server: Server
    start: datetime
    contexts: AsyncExitStack
    intakes: dict[str, Intake] = field(default_factory=dict)
    notices: NoticeIntake | None = None
    held: dict[str | None, list[Any]] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    locks: list[Any] = field(default_factory=list)
    followed: list[Any] = field(default_factory=list)
    limit: float = math.inf
    began: float = field(default_factory=time.monotonic)
    _seen: dict[str, dict[int, int]] = field(default_factory=dict)
    _first: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def backend(self) -> Backend:
        return self.server.backend

    def number(self, stream: str, seq: int) -> int:
        """Return a number for a sequence of a stream, by the order in which they are seen; 0 stays 0."""
        seen = self._seen.setdefault(stream, {0: 0})
        return seen.setdefault(seq, len(seen))

    def written(self, stream: str, key: str, seq: int) -> int:
        """Return the number of a sequence that was just written, which has to be the highest."""
        assert seq > max(self._seen.get(stream, {0: 0})), f"{seq} is not above all of {stream} before it"
        self._first.setdefault((stream, key), seq)
        return self.number(stream, seq)

    def expected(self, which: Which, stream: str, key: str, last: int) -> int:
        """Return the sequence to expect of a key whose last is known."""
        named = {Which.NOTHING: 0, Which.LAST: last, Which.NEVER: 10**6}
        return self._first.get((stream, key), 0) if which is Which.FIRST else named[which]

    def check_speed(self) -> None:
        """Raise `TooSlowError` if it took so long that something came by itself."""
        if time.monotonic() - self.began > self.limit:
            raise TooSlowError

    def at(self, offset: timedelta) -> datetime:
        return self.start + offset

    def offset(self, at: datetime | None) -> timedelta | None:
        return None if at is None else at - self.start


class Operation(Protocol):
    """One step of a play; `wanted` is the answer that memory gave, None while it is memory that plays."""

    async def play(self, world: World, wanted: Answer | None) -> Answer: ...


class Difference(AssertionError):
    """The two backends answered differently."""


class TooSlowError(Exception):
    """Something came by itself while the operations were still under way: this machine is busy."""


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[World]:
    async with AsyncExitStack() as contexts:
        yield World(server, soon(await server.backend.server_time(), 0), contexts)


async def play(
    server: Server, operations: Sequence[Operation], wanted: Sequence[Answer] = (), *, limit: float = math.inf
) -> list[Answer]:
    """Play the operations and return the answers; raise `Difference` at the first that is not the wanted one.

    What takes longer than `limit` seconds, up to a rest or the end, is `TooSlowError`.
    """
    answers: list[Answer] = []
    async with opened(server) as world:
        world.limit = limit
        for index, operation in enumerate(operations):
            answer = await _answer(operation, world, wanted[index] if wanted else None)
            answers.append(answer)
            if wanted and answer != wanted[index]:
                world.check_speed()
                raise Difference(_told(operations, answers, wanted))
        world.check_speed()
    return answers


async def _answer(operation: Operation, world: World, wanted: Answer | None) -> Answer:
    try:
        return await operation.play(world, wanted)
    except (Conflict, DocumentError, Unavailable) as error:
        return type(error).__name__


def _told(operations: Sequence[Operation], answers: Sequence[Answer], wanted: Sequence[Answer]) -> str:
    last = len(answers) - 1
    before = [f"  {operation} -> {answer}" for operation, answer in zip(operations[:last], answers, strict=False)]
    memory, jetstream = (pformat(answer, width=200).splitlines() for answer in (wanted[last], answers[last]))
    unlike = unified_diff(memory, jetstream, "in memory", "on JetStream", n=0, lineterm="")
    return "\n".join(["after", *before, str(operations[last]), *unlike])


async def all_of(chunks: AsyncIterator[Sequence[T]], most: int) -> list[T]:
    """Join chunks, of which none may be larger than asked for."""
    found: list[T] = []
    async for chunk in chunks:
        assert len(chunk) <= most
        found += chunk
    return found


def mixed(*shares: tuple[int, st.SearchStrategy[Operation]]) -> st.SearchStrategy[Operation]:
    """Draw from strategies by their shares (`one_of` takes each but once)."""
    return st.sampled_from([strategy for share, strategy in shares for _ in range(share)]).flatmap(lambda it: it)


def sequences(
    operation: st.SearchStrategy[Operation], most: int = MOST_OPERATIONS
) -> st.SearchStrategy[list[Operation]]:
    """Draw sequences of every length (a list strategy by itself draws short ones)."""
    return st.integers(0, most).flatmap(lambda length: st.lists(operation, min_size=length, max_size=length))


async def until(look: Callable[[], Awaitable[Answer]], wanted: Answer) -> Answer:
    """Look until what is seen is wanted, or patience is over, and return what was seen last."""
    seen = None
    with anyio.move_on_after(PATIENCE):
        while (seen := await look()) != wanted:  # noqa: ASYNC110 - nothing sets an event
            await anyio.sleep(0.05)
    return seen
