"""Operations on `ports.HintStream`, its schedules and its deliveries."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from hypothesis import strategies as st

from natsched.core.hints import Hint, Pending, RunHint
from natsched.core.jobs import JobId
from tests.conformance.world import HOUR, MOMENT, Answer, Operation, Which, World, all_of, mixed
from tests.factories import NOON, make_plan_hint, make_run_hint

QUEUES: Final = ("default", "mail")
JOBS: Final = ("a", "a.b", "b")
STREAM: Final = "hints"
SOON: Final = 1.2 * MOMENT
_RUNS: Final = ("A-1", "A-m2")
_YEARS: Final = timedelta(days=3000)


def _shown(world: World, pending: Pending | None) -> Answer:
    if pending is None:
        return None
    return pending.job, pending.hint, world.offset(pending.at), world.number(STREAM, pending.seq)


def _all_shown(world: World, pendings: Iterable[Pending]) -> list[Answer]:
    """Show them in an order that all servers agree on, also where several fired at once."""
    there = sorted(pendings, key=lambda pending: (pending.job, str(pending.hint), pending.seq))
    return [_shown(world, pending) for pending in there]


def _subject(hint: Hint) -> str:
    return f"{hint.job} {hint.execution if isinstance(hint, RunHint) else ''}"


@dataclass(frozen=True, slots=True)
class Schedule:
    hint: Hint
    at: timedelta
    which: Which

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        (last,) = await world.backend.hints.scheduled([self.hint])
        expected = world.expected(self.which, STREAM, _subject(self.hint), last.seq if last else 0)
        seq = await world.backend.hints.schedule(self.hint, world.at(self.at), expected=expected)
        return world.written(STREAM, _subject(self.hint), seq)


@dataclass(frozen=True, slots=True)
class Look:
    hints: tuple[Hint, ...]

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return [_shown(world, pending) for pending in await world.backend.hints.scheduled(self.hints)]


@dataclass(frozen=True, slots=True)
class LookForPlans:
    jobs: tuple[JobId, ...]

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        found = await world.backend.hints.scheduled_of(self.jobs)
        return [(job, _shown(world, found[job])) for job in sorted(found)]


@dataclass(frozen=True, slots=True)
class Deliver:
    hint: Hint
    once: str | None

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.backend.hints.deliver(self.hint, once=self.once)
        return "delivered"


@dataclass(frozen=True, slots=True)
class DeleteSchedule:
    """Delete what lies there, twice if asked for."""

    hint: Hint
    twice: bool

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        (there,) = await world.backend.hints.scheduled([self.hint])
        for _ in range(1 + self.twice):
            await world.backend.hints.delete(there.seq if there else 10**6)
        return bool(there)


@dataclass(frozen=True, slots=True)
class DeleteDelivery:
    index: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        there = sorted(await world.backend.hints.deliveries(), key=lambda it: (it.job, str(it.hint), it.seq))
        if not there:
            return None
        await world.backend.hints.delete(there[self.index % len(there)].seq)
        return _shown(world, there[self.index % len(there)])


@dataclass(frozen=True, slots=True)
class Walk:
    chunk: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return _all_shown(world, await all_of(world.backend.hints.walk(chunk=self.chunk), self.chunk))


@dataclass(frozen=True, slots=True)
class Deliveries:
    async def play(self, world: World, wanted: Answer | None) -> Answer:
        return _all_shown(world, await world.backend.hints.deliveries())


@dataclass(frozen=True, slots=True)
class BehindItsBack:
    """What other programs put there."""

    job: str
    what: Literal["schedule", "delivery"]
    data: bytes

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if self.what == "schedule":
            await world.server.put_schedule(self.job, self.data, world.at(HOUR))
        else:
            await world.server.put_delivery(self.job, self.data)
        return self.what


def _hints() -> st.SearchStrategy[Hint]:
    jobs, queues = st.sampled_from(JOBS), st.sampled_from(QUEUES)
    numbers, starts = st.integers(1, 2), st.sampled_from((NOON, NOON + timedelta(microseconds=1)))

    def plan(job: str, n: int, queue: str, revision: int, start: object) -> Hint:
        return make_plan_hint(job, n, queue=queue, revision=revision, start=start)  # type: ignore[arg-type]

    def run(job: str, execution: str, attempt: int, queue: str) -> Hint:
        return make_run_hint(job, execution, attempt, queue=queue)

    return st.builds(plan, jobs, numbers, queues, numbers, starts) | st.builds(
        run, jobs, st.sampled_from(_RUNS), numbers, queues
    )


def schedules(*, ends: bool = False) -> st.SearchStrategy[Operation]:
    """Draw operations on schedules; with `ends` some are of a moment later."""
    hint, jobs = _hints(), st.sampled_from([JobId(job) for job in (*JOBS, "none")])
    which = st.sampled_from((Which.LAST, Which.LAST, *Which))
    ats = st.sampled_from((SOON, HOUR) if ends else (HOUR, HOUR + timedelta(milliseconds=1), _YEARS))
    schedule = st.builds(Schedule, hint, ats, which)
    return mixed(
        (6, schedule),
        (1, st.builds(Look, st.lists(hint, max_size=3).map(tuple))),
        (1, st.builds(LookForPlans, st.lists(jobs, max_size=4).map(tuple))),
        (2, st.builds(DeleteSchedule, hint, st.booleans())),
        (1, st.builds(Walk, st.sampled_from((1, 2, 256)))),
        (1, _from_behind("schedule")),
    )


def delivered() -> st.SearchStrategy[Operation]:
    """Draw operations that put something among the deliveries, and on what is there."""
    deliver = st.builds(Deliver, _hints(), st.sampled_from((None, None, "x", "y")))
    return mixed(
        (6, deliver),
        (1, st.builds(DeleteDelivery, st.integers(0, 3))),
        (1, st.just(Deliveries())),
        (1, _from_behind("delivery")),
    )


def _from_behind(what: str) -> st.SearchStrategy[Operation]:
    data = st.sampled_from((b"", b"\xff", b'{"v": 99}'))
    return st.builds(BehindItsBack, st.sampled_from(JOBS), st.just(what), data)


def overdue() -> st.SearchStrategy[list[Schedule]]:
    """Draw schedules of the past, on different subjects: when exactly they fire is the server's affair."""
    schedule = st.builds(Schedule, _hints(), st.sampled_from((-HOUR, timedelta(0))), st.just(Which.LAST))
    return st.lists(schedule, max_size=3, unique_by=lambda one: _subject(one.hint))


LAST_HINTS: Final[tuple[Operation, ...]] = (
    LookForPlans(tuple(JobId(job) for job in JOBS)),
    Look(tuple(make_run_hint(job, run) for job in JOBS for run in _RUNS)),
    Walk(3),
    Deliveries(),
)
