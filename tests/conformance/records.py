"""Operations on `ports.History`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import anyio
from hypothesis import strategies as st

from natsched.core.executions import ExecutionStatus, Record
from tests.conformance.world import HOUR, MOMENT, PATIENCE, Answer, Operation, World, mixed
from tests.factories import NOON, make_record

JOBS: Final = ("a", "a.b", "a.A-1", "b")
EXECUTIONS: Final = ("A-1", "A-2", "b")
_LAST: Final = 99


@dataclass(frozen=True, slots=True)
class Create:
    job: str
    execution: str
    attempt: int
    status: ExecutionStatus
    error: str
    ttl: timedelta

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        record = make_record(
            self.job, self.execution, self.attempt, status=self.status, error=self.error, ended_at=NOON
        )
        return await world.backend.history.create(record, ttl=self.ttl)


@dataclass(frozen=True, slots=True)
class Get:
    job: str
    execution: str
    attempt: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return await world.backend.history.get(self.job, self.execution, self.attempt)


@dataclass(frozen=True, slots=True)
class List:
    job: str | None
    execution: str | None
    limit: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return list(await world.backend.history.list(self.job, self.execution, limit=self.limit))


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow from here to the end of the play."""

    job: str | None
    execution: str | None

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if len(world.followed) < 2:
            following = world.backend.history.follow(self.job, self.execution)
            world.followed.append((self, await world.contexts.enter_async_context(following)))
        return "followed"


@dataclass(frozen=True, slots=True)
class Followed:
    """Tell all that was followed: up to a last record, which is created for that."""

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        told: list[list[Record]] = []
        for index, (follow, records) in enumerate(world.followed):
            last = make_record(follow.job or "last", follow.execution or "last", _LAST + index)
            assert await world.backend.history.create(last, ttl=HOUR)
            told.append([])
            with anyio.move_on_after(PATIENCE):
                async for record in records:
                    told[-1].append(record)
                    if record == last:
                        break
        return told


@dataclass(frozen=True, slots=True)
class BehindItsBack:
    """What other programs do to a key."""

    job: str
    execution: str
    attempt: int
    what: Literal["purge", "bytes"]

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        key = f"{self.job}.{self.execution}.{self.attempt}"
        if self.what == "purge":
            await world.server.purge("executions", key)
        else:
            await world.server.put_record(key, b"\xff not ours")
        return self.what


def records(*, ends: bool = False) -> st.SearchStrategy[Operation]:
    """Draw operations; with `ends` some records live for a moment."""
    jobs, executions, attempts = st.sampled_from(JOBS), st.sampled_from(EXECUTIONS), st.integers(0, 2)
    lives = st.sampled_from((HOUR, MOMENT) if ends else (HOUR,))
    statuses = st.sampled_from((ExecutionStatus.OK, ExecutionStatus.FAILED))
    create = st.builds(Create, jobs, executions, attempts, statuses, st.text(max_size=3), lives)
    some_job, some_execution = st.none() | jobs, st.none() | executions
    return mixed(
        (6, create),
        (1, st.builds(Get, jobs, executions, attempts)),
        (3, st.builds(List, some_job, some_execution, st.sampled_from((0, 1, 2, 5, 100)))),
        (1, st.builds(Follow, some_job, some_execution)),
        (1, st.builds(BehindItsBack, jobs, executions, attempts, st.sampled_from(("purge", "bytes")))),
    )


LAST_RECORDS: Final[tuple[Operation, ...]] = (
    List(None, None, 100),
    *(List(job, None, 3) for job in JOBS),
    *(List(None, execution, 100) for execution in EXECUTIONS),
    Followed(),
)
