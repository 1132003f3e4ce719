"""Values for properties of the core: any spec, any job in a state that can be, any hint and any facts about it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from natsched.core.backoff import RetryPolicy
from natsched.core.deciding import decide
from natsched.core.decisions import AskLeases, AskRecord, Claim, Decision, ReadAgain, Settle
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.facts import Facts
from natsched.core.hints import Hint, PlanHint, RunHint
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Manual, Plan, Running, Spec, Status, Stored
from natsched.core.planning import start_of
from natsched.core.schedules import Cron, Interval, Once, Schedule, next_due
from tests.factories import NOON

HERE: Final = LeaseId("lease.here.1")
LEASES: Final = tuple(LeaseId(f"lease.{name}.1") for name in ("a", "b", "c"))
UID: Final = "01JD"
JOB: Final = JobId("billing.daily")


def durations(least: timedelta, most: timedelta) -> st.SearchStrategy[timedelta]:
    """Draw from a fine grid, all lengths alike: `st.timedeltas` favours a few microseconds."""
    return st.integers(0, 10_000).map(lambda share: least + (most - least) * share // 10_000)


moments = st.integers(-5000, 5000).map(lambda passed: NOON + passed * timedelta(seconds=34.560007)) | st.sampled_from(
    (NOON, NOON + timedelta(hours=1), NOON - timedelta(minutes=30))
)
delays = durations(timedelta(0), timedelta(hours=3))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(codec="utf-8"), max_size=8)
payloads = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
EXPRESSIONS: Final = ("* * * * *", "*/10 * * * * *", "30 2 * * *", "0 9-17 * * *", "H * * * *")


FROM, UNTIL = NOON - timedelta(hours=7), NOON + timedelta(days=1, seconds=1)
WINDOWS: Final = ((None, None, None), (None, None, 3), (FROM, None, None), (None, UNTIL, None), (FROM, UNTIL, 9))


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    start_at, end_at, max_runs = draw(st.sampled_from(WINDOWS))
    return {"start_at": start_at, "end_at": end_at, "max_runs": max_runs}


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    jitter = draw(st.none() | durations(timedelta(0), timedelta(hours=2)))
    zone = draw(st.sampled_from(("UTC", "Europe/Berlin")))
    return Cron(draw(st.sampled_from(EXPRESSIONS)), timezone=zone, jitter=jitter, **draw(windows()))


@st.composite
def intervals(draw: st.DrawFn, *, fixed_delay: st.SearchStrategy[bool] | None = None) -> Interval:
    period = draw(durations(timedelta(milliseconds=100), timedelta(hours=6)))
    jitter = draw(st.none() | durations(timedelta(0), period))
    fixed = draw(st.booleans() if fixed_delay is None else fixed_delay)
    return Interval(period, jitter=jitter, fixed_delay=fixed, **draw(windows()))


@st.composite
def onces(draw: st.DrawFn) -> Once:
    return Once(draw(moments), jitter=draw(st.none() | delays), max_runs=draw(st.none() | st.just(1)))


schedules: Final = crons() | intervals() | onces()
repeating: Final = crons() | intervals(fixed_delay=st.just(False))


policies: Final = st.sampled_from(
    [
        {"overlap": overlap, "delivery": delivery, "catch_up": catch_up, "history": history}
        for overlap in ("skip", "queue", "allow")
        for delivery in ("at_least_once", "at_most_once")
        for catch_up in ("latest", "earliest", "none", "all")
        for history in ("all", "failures", "none")
    ]
)


@st.composite
def specs(draw: st.DrawFn, /, schedules: st.SearchStrategy[Schedule] = schedules, **given: Any) -> Spec:
    """Any spec, but for what is `given`."""
    paused: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 3:
        paused = {
            "active": False,
            "paused_until": draw(st.none() | moments),
            "paused_since": draw(st.none() | moments),
        }
    drawn = {
        "schedule": draw(schedules),
        "anchor": draw(moments),
        "queue": draw(st.sampled_from(("default", "slow"))),
        "payload": draw(st.sampled_from((None, {"user": 42}))),
        "tolerance": draw(st.sampled_from((0.0, 0.25, 5.0, 60.0, 4000.0))),
        "catch_up_limit": draw(st.integers(1, 12)),
        "catch_up_window": draw(st.sampled_from((None, None, 2000.0, 90_000.0))),
        "deadline": draw(st.sampled_from((None, None, 3000.0, 90_000.0))),
        "max_crashes": draw(st.integers(0, 3)),
        "max_concurrency": draw(st.sampled_from((None, None, 1, 3))),
        "retry": draw(st.sampled_from((None, RetryPolicy(), RetryPolicy(max_attempts=2, base=0.0)))),
        **draw(policies),
        **paused,
    }
    return Spec(**{**drawn, **given})


any_spec: Final = specs()


entries: Final = st.sampled_from(
    [
        Running(token=token, due=NOON + timedelta(minutes=minutes), lease=lease, attempt=attempt, takeovers=takeovers)
        for token, minutes in ((3, -90), (40, 5))
        for lease in (*LEASES, HERE, None)
        for attempt, takeovers in ((1, 0), (4, 3), (6, 5))
    ]
)


def manual_id(number: int) -> ExecutionId:
    return ExecutionId(f"{UID}-m{number}")


@st.composite
def statuses(draw: st.DrawFn, plan: Plan) -> Status:
    ago = draw(st.sampled_from(((), (), (1,), (2,), (1, 2), (3, 1, 2))))
    running = {ExecutionId(f"{UID}-{plan.n - back}"): draw(entries) for back in ago if back <= plan.n}
    by_hand, asked = draw(
        st.sampled_from(((False, False), (False, False), (True, False), (False, True), (True, True)))
    )
    if by_hand:
        running[manual_id(1)] = replace(draw(entries), manual=True, payload={"by": "hand"})
    return Status(
        plan=plan,
        running=running,
        manual={manual_id(2): Manual(at=draw(moments), payload={"by": "hand"})} if asked else {},
        last_due=draw(st.none() | moments),
        runs=draw(st.integers(0, 9)),
        counts=draw(st.sampled_from(({}, {ExecutionStatus.OK: 7, ExecutionStatus.SKIPPED: 2}))),
    )


@st.composite
def jobs(draw: st.DrawFn, specs: st.SearchStrategy[Spec] = any_spec, *, due: bool | None = None) -> Job:
    """A job as the core could have left it: its due is an instant of its schedule (or an end and the delay)."""
    spec = draw(specs)
    job = Job(id=JOB, uid=UID, spec=spec, status=Status(plan=Plan(n=0)))
    instant = None
    if due is not False:
        instant = draw(moments) if spec.fixed_delay else instant_of(job, draw(moments))
    if due is None and draw(st.integers(0, 4)) == 0:
        instant = None
    status = draw(statuses(Plan(n=draw(st.integers(1, 50)), due=instant)))
    limit = spec.schedule.max_runs
    if instant is not None and limit is not None:
        status = replace(status, runs=min(status.runs, limit - 1))
    return replace(job, status=status)


any_job: Final = jobs()


def due_jobs(specs: st.SearchStrategy[Spec] = any_spec) -> st.SearchStrategy[Job]:
    """Jobs with a due, its schedule's instants permitting."""
    return jobs(specs, due=True).filter(lambda job: job.status.plan.due is not None)


def instant_of(job: Job, after: datetime) -> datetime | None:
    return next_due(job.spec.schedule, after, anchor=job.spec.anchor, salt=job.id)


@st.composite
def times(draw: st.DrawFn, job: Job) -> datetime:
    """Any time, most of them near the start of the plan: early, on time, a little late, far too late."""
    due = job.status.plan.due
    if due is None:
        return draw(moments)
    near = st.sampled_from((-1.0, -0.02, 0.0, 0.001, 0.3, 1.5, 30.0, 90.0, 5000.0, 100_000.0))
    start = start_of(job, due)
    return draw(near.map(lambda seconds: start + timedelta(seconds=seconds)) | moments)


@st.composite
def hints(draw: st.DrawFn, job: Job) -> Hint:
    """A hint of the job, valid or old, or of an earlier job of its id."""
    n, known = job.status.plan.n, (*job.status.running, *job.status.manual, ExecutionId(f"{UID}-m99"))
    common: dict[str, Any] = {
        "job": job.id,
        "uid": draw(st.sampled_from((job.uid, job.uid, job.uid, "01JC"))),
        "start": NOON,
        "revision": draw(st.sampled_from((1, 20, 60))),
        "queue": job.spec.queue,
    }
    if draw(st.booleans()):
        return PlanHint(n=draw(st.sampled_from((n, n, max(0, n - 1), max(0, n - 2), n + 1))), **common)
    return RunHint(execution=draw(st.sampled_from(known)), attempt=draw(st.integers(1, 4)), **common)


@st.composite
def facts_about(draw: st.DrawFn, job: Job) -> Facts:
    known: tuple[Mapping[LeaseId, bool], ...] = (
        {},
        {LEASES[0]: True, LEASES[1]: False},
        dict.fromkeys(LEASES, False),
    )
    return Facts(
        now=draw(times(job)),
        stored=Stored(id=job.id, job=job, revision=draw(st.sampled_from((2, 20, 50)))),
        lease=HERE,
        authoritative=draw(st.booleans()),
        mine=frozenset() if draw(st.booleans()) else frozenset([*job.status.running][:1]),
        leases=draw(st.sampled_from(known)),
        delivery=7,
        deliveries=draw(st.sampled_from((1, 3, 2000))),
    )


@st.composite
def looks(draw: st.DrawFn, jobs: st.SearchStrategy[Job] = any_job) -> tuple[Hint, Facts]:
    job = draw(jobs)
    return draw(hints(job)), draw(facts_about(job))


def resolve(
    hint: Hint,
    facts: Facts,
    *,
    live: Mapping[LeaseId, bool] | Callable[[LeaseId], bool],
    record: Record | None = None,
) -> Decision:
    """Decide as the shell does: answer what is asked until it is no question; the same is not asked twice."""
    answer = live if callable(live) else live.__getitem__
    for _ in range(5):
        decision = decide(hint, facts)
        match decision:
            case ReadAgain():
                assert not facts.authoritative
                facts = replace(facts, authoritative=True)
            case AskLeases(leases=leases):
                assert leases - facts.leases.keys()
                facts = replace(facts, leases={**facts.leases, **{lease: answer(lease) for lease in leases}})
            case AskRecord():
                assert not facts.record_known
                facts = replace(facts, record=record, record_known=True)
            case _:
                return decision
    raise AssertionError("asked without end")


def written(decision: Decision) -> Job | None:
    """Return the document that a decision puts in place of the one it was taken on."""
    return decision.job if isinstance(decision, Claim | Settle) else None
