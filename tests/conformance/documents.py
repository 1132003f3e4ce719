"""Operations on `ports.JobStore`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from hypothesis import strategies as st

from natsched.core.jobs import JobId, Stored, Unreadable
from tests.conformance.world import HOUR, MOMENT, Answer, Operation, Which, World, all_of, mixed
from tests.factories import make_job

IDS: Final = tuple(JobId(job) for job in ("a", "a.b", "a.b.c", "ab", "b", "b.a", "B", "_-1"))
_STREAM: Final = "jobs"


def _shown(world: World, stored: Stored) -> Answer:
    job = ("unreadable", stored.job.reason) if isinstance(stored.job, Unreadable) else stored.job
    return stored.id, job, world.number(_STREAM, stored.revision)


async def _expected(world: World, job: JobId, which: Which) -> int:
    last = await world.backend.jobs.read(job)
    return world.expected(which, _STREAM, job, last.revision)


@dataclass(frozen=True, slots=True)
class Write:
    job: JobId
    n: int
    payload: object
    which: Which
    ttl: timedelta | None

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        expected = await _expected(world, self.job, self.which)
        job = make_job(self.job, n=self.n, payload=self.payload)
        return world.written(_STREAM, self.job, await world.backend.jobs.write(job, expected=expected, ttl=self.ttl))


@dataclass(frozen=True, slots=True)
class Delete:
    job: JobId
    which: Which

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.backend.jobs.delete(self.job, expected=await _expected(world, self.job, self.which))
        return "deleted"


@dataclass(frozen=True, slots=True)
class Read:
    job: JobId

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return _shown(world, await world.backend.jobs.read(self.job))


@dataclass(frozen=True, slots=True)
class ReadMany:
    jobs: tuple[JobId, ...]

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        found = await world.backend.jobs.read_many(self.jobs)
        return [_shown(world, found[job]) for job in sorted(found)]


@dataclass(frozen=True, slots=True)
class Scan:
    prefix: str
    chunk: int
    after: JobId | None

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        after = (await world.backend.jobs.read(self.after)).revision if self.after else 0
        scan = world.backend.jobs.scan(self.prefix, chunk=self.chunk, after=after)
        return [_shown(world, stored) for stored in await all_of(scan, self.chunk)]


@dataclass(frozen=True, slots=True)
class Walk:
    chunk: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        async with world.backend.jobs.walk(chunk=self.chunk) as walk:
            return [_shown(world, stored) for stored in await all_of(walk, self.chunk)]


@dataclass(frozen=True, slots=True)
class BehindItsBack:
    """What other programs do to a key."""

    job: JobId
    what: Literal["purge", "bytes"]

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if self.what == "purge":
            await world.server.purge("jobs", self.job)
        else:
            await world.server.put_document(self.job, b"\xff not ours")
        return self.what


def documents(*, ends: bool = False) -> st.SearchStrategy[Operation]:
    """Draw operations; with `ends` some documents live for a moment."""
    ids = st.sampled_from(IDS)
    which = st.sampled_from((Which.LAST, Which.LAST, *Which))
    lives = st.sampled_from((None, HOUR, MOMENT) if ends else (None, HOUR))
    payloads = st.none() | st.text(max_size=5) | st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)
    chunks = st.sampled_from((1, 2, 3, 256))
    prefixes = st.sampled_from(("", "a", "a.b", "b", "B", "none"))
    write = st.builds(Write, ids, st.integers(1, 9), payloads, which, lives)
    return mixed(
        (6, write),
        (2, st.builds(Delete, ids, which)),
        (1, st.builds(Read, ids)),
        (1, st.builds(ReadMany, st.lists(ids, max_size=4).map(tuple))),
        (2, st.builds(Scan, prefixes, chunks, st.none() | ids)),
        (1, st.builds(Walk, chunks)),
        (1, st.builds(BehindItsBack, ids, st.sampled_from(("purge", "bytes")))),
    )


LAST_DOCUMENTS: Final[tuple[Operation, ...]] = (
    ReadMany(IDS),
    *(Read(job) for job in IDS),
    Scan("", 2, None),
    Walk(3),
)
