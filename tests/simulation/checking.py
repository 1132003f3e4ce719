"""Whether a simulated history kept the promises: the public checker, and what only the server's side can show."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final

from natsched.core.chains import After, chained
from natsched.core.executions import FINAL, Cause
from natsched.core.jobs import Job
from natsched.core.planning import plan_hint
from natsched.testing import Bounds, check
from tests.simulation.drawing import Drawn
from tests.simulation.journal import Journal
from tests.virtual import EPOCH

SWEPT: Final = frozenset({"gets stuck", "question lost", "answer lost", "word lost"})
"""What may take a sweep to be made good."""

RECOVERY: Final = timedelta(seconds=16)
"""A lease, the reconciler's lock, what is handed back with a delay."""

_STILL: Final = timedelta(seconds=20)
"""How long before the end what is left behind must have been begun."""


def problems(journal: Journal, drawn: Drawn) -> Iterator[str]:
    """Say what broke a promise."""
    yield from journal.faults
    for finding in check(journal.history(bounds_of(drawn))):
        yield str(finding)
    for job in journal.jobs.values():
        yield from _left_behind(journal, job)
        yield from _untold(journal, job)
    yield from _unrecorded(journal)
    yield from _unanswered(journal)
    yield from _doubled_keys(journal)
    yield from _fences(journal)
    yield from _hints(journal)
    yield from _works(journal)


def bounds_of(drawn: Drawn) -> Bounds:
    """Return how exact the history has to be, by what was drawn to befall it."""
    whats = {step.what for step in drawn.steps}
    late, finishing = timedelta(seconds=0.6), timedelta(seconds=0.2)
    if any("concurrency_key" in step.given.get("options", ()) for step in drawn.steps):
        late = timedelta(seconds=1.1)  # a run that waits for its group asks again each second
    if whats & {"question slow", "answer slow", "fires late", "read is old"}:
        late, finishing = timedelta(seconds=4), timedelta(seconds=3)
    if "delivery held back" in whats:
        late = timedelta(seconds=6)
    if whats & SWEPT:
        late, finishing = timedelta(seconds=16), timedelta(seconds=8)
    return Bounds(
        late=late,
        early=timedelta(milliseconds=8),
        recovery=RECOVERY,
        claim=timedelta(0),
        finishing=finishing,
    )


def _left_behind(journal: Journal, job: Job) -> Iterator[str]:
    """After the calm nothing waits for anybody who is gone."""
    status, end = job.status, journal.ended - _STILL
    active = job.spec.is_active(journal.ended)
    is_busy = any(call.job == job.id and (call.ended or journal.ended) > end for call in journal.calls)
    for execution, asked in status.manual.items():
        if asked.at < end and not is_busy and not job.spec.concurrency_key:
            yield f"left behind: {execution} of {job.id} was asked for and never ran"
    claims = journal.claims()
    for execution, entry in status.running.items():
        claimed, _ = claims.get((execution, entry.attempt), (entry.due, 0))
        if (active or entry.manual) and claimed < end and not is_busy and execution not in journal.active:
            yield f"left behind: {execution} of {job.id} is running nowhere"
    for execution, again in status.retries.items():
        if (active or again.manual) and again.at < end and not is_busy and not job.spec.concurrency_key:
            yield f"left behind: {execution} of {job.id} waits for its next attempt"
    for execution, ended in status.handovers.items():
        if ended.at < end:
            yield f"left behind: the end of {execution} of {job.id} was not passed on"
    hint = plan_hint(job, 1)
    waits = is_busy or status.running or job.spec.concurrency_key
    if hint is not None and active and not waits and hint.start < end:
        yield f"left behind: {job.id} is due since {hint.start.isoformat()}"


def _untold(journal: Journal, job: Job) -> Iterator[str]:
    """Each end of a job starts each job that followed it all the time, and still does."""
    schedule = job.spec.schedule
    if not isinstance(schedule, After) or not job.spec.is_active(journal.ended):
        return
    writes = [one for one in journal.ledger.written if one.job is not None and one.job.uid == job.uid]
    since = max((one.at for one in writes if one.before is None or one.before.spec != job.spec), default=EPOCH)
    made = [one for one in journal.ledger.written if one.stored.id in schedule.jobs and one.before is None]
    since = max([since, *(one.at for one in made)])  # it is known to a job that is made anew after a sweep
    known = {record.execution for record in journal.records} | {call.execution for call in journal.calls}
    known |= job.status.manual.keys() | job.status.running.keys()
    taken = set(_taken_over(journal))
    for record in (one for one in journal.records if (one.execution, one.attempt) not in taken):
        upstream = journal.jobs.get(record.job)
        if upstream is None or upstream.uid != record.uid or not schedule.follows(record.job, record.status):
            continue
        at = record.ended_at or record.due
        if not record.attempt or not since < at - timedelta(seconds=20) or at > journal.ended - _STILL:
            continue
        cause = Cause(job=record.job, execution=record.execution, attempt=record.attempt, status=record.status, at=at)
        if chained(job.uid, cause) not in known:
            yield f"untold: {job.id} did not run after {record.execution} attempt {record.attempt}"


def _taken_over(journal: Journal) -> Iterator[tuple[str, int]]:
    """Tell the attempts that others took over: what their replicas record when they wake up is no end."""
    for one in journal.ledger.written:
        if one.job is None or one.before is None or one.before.uid != one.job.uid:
            continue
        for execution, entry in one.before.status.running.items():
            after = one.job.status.running.get(execution)
            if after is not None and after.attempt > entry.attempt:
                yield execution, entry.attempt


def _unrecorded(journal: Journal) -> Iterator[str]:
    """What began has a record of its end, unless its job was removed."""
    ends = {record.execution for record in journal.records if record.status in FINAL}
    removed = {one.before.uid for one in journal.ledger.written if one.job is None and one.before is not None}
    specs = defaultdict(list)
    for one in journal.ledger.written:
        if one.job is not None:
            specs[one.job.uid].append(one.job.spec)
    for call in journal.calls:
        uid = call.execution.split("-", 1)[0]
        if uid in removed or call.execution in ends or call.started > journal.ended - _STILL:
            continue
        if any(spec.history != "all" or spec.leaves_no_trace for spec in specs[uid]):
            continue
        status = journal.jobs[call.job].status
        if not any(call.execution in there for there in (status.running, status.retries, status.manual)):
            yield f"unrecorded: {call} has no record of its end"


def _unanswered(journal: Journal) -> Iterator[str]:
    """What was answered was written before the answer."""
    for one in journal.asked:
        if not isinstance(one.answer, Job) or one.answered is None:
            continue
        job, at = one.answer, one.answered
        if not any(
            write.at <= at and write.job is not None and (write.job.uid, write.job.spec) == (job.uid, job.spec)
            for write in journal.ledger.written
        ):
            yield f"answered but not done: {one.step}"


def _doubled_keys(journal: Journal) -> Iterator[str]:
    """Of two that were submitted under one key one job comes."""
    jobs = {one.job.id for one in journal.ledger.written if one.job is not None}
    keys: dict[str, set[str]] = defaultdict(set)
    for asked in journal.asked:
        key, job = asked.step.given.get("unique_key"), asked.step.given["job"]
        if key is not None and job in jobs:
            keys[key].add(job)
    for key, found in keys.items():
        if len(found) > 1:
            yield f"submitted twice under {key!r}: {', '.join(sorted(found))}"


def _fences(journal: Journal) -> Iterator[str]:
    """A later claim of an execution has a greater fence."""
    fences: dict[str, tuple[int, int]] = {}
    for call in journal.calls:
        attempt, fence = fences.get(call.execution, (0, 0))
        if call.attempt > attempt and call.fence <= fence:
            yield f"the fence did not grow: {call} has {call.fence} after {fence}"
        fences[call.execution] = max((attempt, fence), (call.attempt, call.fence))


def _hints(journal: Journal) -> Iterator[str]:
    """No hint lies about that is long due and of which nothing waits to run."""
    for pending in journal.hints:
        hint, job = pending.hint, journal.jobs.get(pending.job)
        if hint is None or hint.start > journal.ended - _STILL:
            continue
        if job is None or job.uid != hint.uid:
            if pending.at is None:
                yield f"a hint is left of a job that is gone: {hint}"
        elif not (job.status.running or job.status.manual or job.status.retries or job.spec.concurrency_key):
            yield f"a hint is left of which nothing waits: {hint}"


def _works(journal: Journal) -> Iterator[str]:
    """What is to be made once is made by one at a time, unless that one was away."""
    works = sorted(journal.works, key=lambda work: work.since)
    for one, other in pairwise(works):
        away = any(absence.replica == one.member and absence.at < other.since for absence in journal.absences)
        restarted = any(step.what == "restarts" for _, _, step in journal.befallen)
        if other.since < one.until and not away and not restarted:
            yield f"made by two at once: {one} and {other}"
