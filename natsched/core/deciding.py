"""What becomes of a hint: decided purely, from the document, the hint and a few facts.

A scheduled hint is valid if its `(uid, n)` is the document's plan; a manual one if `manual` names its
execution; a redelivery if `running` does. Anything else is old. No decision that ends a hint without a write
is taken on a read that is older than the hint: then the answer is `ReadAgain`. Every other end is one write,
which the compare-and-set refuses if anything changed since the read.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from natsched.core.decisions import (
    AskLeases,
    AskRecord,
    Claim,
    Decision,
    Drop,
    HandBack,
    ReadAgain,
    Settle,
    Wait,
)
from natsched.core.endings import Outcome, counted, finish, is_kept, record_of, record_of_none
from natsched.core.executions import FINAL, Event, ExecutionStatus, Record, advance
from natsched.core.hints import Hint, PlanHint, RunHint
from natsched.core.jobs import MAX_RUNNING, ExecutionId, Job, LeaseId, Plan, Running, Spec, Status, Stored, Unreadable
from natsched.core.planning import (
    Take,
    delayed_plan,
    is_late,
    next_plan,
    scheduled_running,
    settle,
    start_of,
    start_of_running,
    take,
)
from natsched.core.schedules import Gap

RUNNING_ELSEWHERE: Final = timedelta(seconds=2)
"""When a redelivered hint of a running execution is looked at again; its lease's end is noticed before."""

_SHORTEST: Final = 0.1
_LONGEST: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known when a hint is looked at.

    `authoritative`: the document was read from the leader after the hint came. `mine`: what this replica is
    claiming or running at this moment, under `lease` or one that it lost. `leases`: those that were asked
    about. `record`: the answer to `AskRecord`, once `record_known`. `delivery` and `deliveries` are the
    hint's sequence in the stream and how often it was handed out.
    """

    now: datetime
    stored: Stored
    lease: LeaseId
    authoritative: bool = False
    mine: Container[ExecutionId] = frozenset()
    leases: Mapping[LeaseId, bool] = field(default_factory=dict)
    record: Record | None = None
    record_known: bool = False
    delivery: int = 0
    deliveries: int = 1


def decide(hint: Hint, facts: Facts) -> Decision:
    """Decide a hint's fate."""
    job = facts.stored.job
    if not facts.authoritative and _may_be_older(facts.stored, hint):
        return ReadAgain()
    if isinstance(job, Unreadable):
        return Drop(reason="unreadable document")
    if job is None:
        return Drop(reason="job removed")
    if job.uid != hint.uid:
        return Drop(reason="job created anew")
    execution = job.execution_id(hint.n) if isinstance(hint, PlanHint) else hint.execution
    if execution in facts.mine:
        return HandBack(delay=RUNNING_ELSEWHERE, reason="it is claimed or running here")
    match hint:
        case PlanHint():
            if hint.n == job.status.plan.n and job.status.plan.due is not None:
                return _decide_plan(job, facts)
        case RunHint():
            if execution in job.status.manual:
                return _decide_manual(job, execution, facts)
    if execution in job.status.running:
        return _decide_running(job, execution, facts)
    return Drop(reason="old plan")


def _may_be_older(stored: Stored, hint: Hint) -> bool:
    """Whether what was read may be from before the hint."""
    other = isinstance(stored.job, Job) and stored.job.uid != hint.uid
    return stored.job is None or other or stored.revision < hint.revision


def _decide_plan(job: Job, facts: Facts) -> Decision:
    taken = take(job, facts.now)
    if job.spec.catch_up == "all" and is_late(job, facts.now) and scheduled_running(job):
        return _hand_back(facts, "waits for the run before it")
    if taken.due is None:
        return _miss(job, taken, facts)
    others = _others(job, job.execution_id(job.status.plan.n), facts)
    if isinstance(others, AskLeases):
        return others
    start = start_of(job, taken.due)
    if job.spec.overlap == "skip" and others:
        return _skip(job, taken, facts) if facts.now >= start else Wait(until=start)
    if len(job.status.running) >= MAX_RUNNING:
        return _hand_back(facts, "too many executions are running")
    return _claim_plan(job, taken, start, facts)


def _claim_plan(job: Job, taken: Take, start: datetime, facts: Facts) -> Claim:
    assert taken.due is not None
    execution = job.execution_id(job.status.plan.n)
    entry = Running(lease=facts.lease, token=facts.stored.revision, due=taken.due, delivery=facts.delivery)
    traceless = job.spec.leaves_no_trace
    counts, records = _left_out(job, taken, facts.now)
    running = job.status.running if traceless else {**job.status.running, execution: entry}
    status = replace(job.status, running=running, last_due=taken.due, runs=job.status.runs + 1, counts=counts)
    claimed = _moved(job, status, taken.after, facts.now)
    return Claim(
        job=claimed,
        execution=execution,
        running=entry,
        start=start,
        records=records,
        traceless=traceless,
        rehint=True,
    )


def _miss(job: Job, taken: Take, facts: Facts) -> Settle:
    assert taken.left_out is not None
    counts, records = _left_out(job, taken, facts.now)
    status = replace(job.status, last_due=taken.left_out.last, counts=counts)
    moved = _moved(job, status, taken.after, facts.now)
    return Settle(job=moved, reason="missed", records=records)


def _skip(job: Job, taken: Take, facts: Facts) -> Settle:
    assert taken.due is not None
    skipped = advance(ExecutionStatus.PLANNED, Event.OVERLAP)
    passed = Gap(first=taken.due, last=taken.due, number=1)
    if taken.left_out is not None:
        passed = replace(taken.left_out, last=taken.due, number=taken.left_out.number + 1)
    record = record_of_none(job, passed, skipped, "the run before it has not ended", now=facts.now)
    counts = counted(job.status.counts, skipped, passed.number)
    status = replace(job.status, last_due=taken.due, counts=counts)
    moved = _moved(job, status, taken.after, facts.now)
    kept = (record,) if is_kept(job, record) else ()
    return Settle(job=moved, reason="skipped", records=kept)


def _moved(job: Job, status: Status, after: datetime, now: datetime) -> Job:
    """Put the status in place and move its plan on: to the next instant, or to none while a fixed delay waits."""
    job = replace(job, spec=_awake(job.spec), status=status)
    if job.spec.fixed_delay is None:
        plan = next_plan(job, after)
    elif scheduled_running(job):
        plan = Plan(n=job.status.plan.n + 1)
    else:
        plan = delayed_plan(job, now)
    return settle(replace(job, status=replace(status, plan=plan)), now)


def _awake(spec: Spec) -> Spec:
    """A plan that comes due ends the pause it was made for."""
    return spec if spec.active else replace(spec, active=True, paused_until=None)


def _left_out(job: Job, taken: Take, now: datetime) -> tuple[Mapping[ExecutionStatus, int], tuple[Record, ...]]:
    if taken.left_out is None:
        return job.status.counts, ()
    coalesced = taken.status is ExecutionStatus.COALESCED
    status = advance(ExecutionStatus.PLANNED, Event.CATCH_UP_LATEST if coalesced else Event.TOO_LATE)
    reason = "a later instant runs for it" if coalesced else "looked at too late"
    record = record_of_none(job, taken.left_out, status, reason, now=now)
    counts = counted(job.status.counts, status, taken.left_out.number)
    return counts, (record,) if is_kept(job, record) else ()


def _decide_manual(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    asked = job.status.manual[execution]
    others = _others(job, execution, facts)
    if isinstance(others, AskLeases):
        return others
    if job.spec.overlap == "skip" and others:
        return _hand_back(facts, "another execution is running")
    if len(job.status.running) >= MAX_RUNNING:
        return _hand_back(facts, "too many executions are running")
    entry = Running(
        lease=facts.lease,
        token=facts.stored.revision,
        due=asked.at,
        delivery=facts.delivery,
        manual=True,
        payload=asked.payload,
    )
    manual = {key: value for key, value in job.status.manual.items() if key != execution}
    status = replace(job.status, manual=manual, running={**job.status.running, execution: entry})
    return Claim(job=replace(job, status=status), execution=execution, running=entry, start=asked.at)


def _decide_running(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    entry = job.status.running[execution]
    alive = _alive(execution, entry, facts)
    if alive is None:
        assert entry.lease is not None
        return AskLeases(leases=frozenset({entry.lease}))
    if alive:
        return HandBack(delay=RUNNING_ELSEWHERE, reason="it is running")
    if not facts.authoritative:
        return ReadAgain()
    if not facts.record_known:
        return AskRecord(execution=execution, attempt=entry.attempt)
    record = facts.record
    if record is not None and record.status in FINAL:
        outcome = Outcome(
            status=record.status,
            started_at=record.started_at,
            ended_at=record.ended_at or facts.now,
            error=record.error,
        )
        return Settle(job=finish(job, execution, outcome), reason="finished from its record")
    return _take_over(job, execution, facts)


def _take_over(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    entry = job.status.running[execution]
    takeovers = entry.takeovers + (entry.lease is not None)
    if job.spec.delivery == "at_most_once":
        return _bury(job, execution, Event.HOLDER_DIED_AT_MOST_ONCE, "its replica died", facts)
    if takeovers > job.spec.max_crashes:
        return _bury(job, execution, Event.CRASH_TOO_OFTEN, f"{takeovers} replicas died running it", facts)
    if not entry.manual and not job.spec.is_active(facts.now):
        return Drop(reason="paused")
    others = _others(job, execution, facts)
    if isinstance(others, AskLeases):
        return others
    if job.spec.overlap == "skip" and others:
        return _hand_back(facts, "another execution is running")
    advance(advance(ExecutionStatus.RUNNING, Event.HOLDER_DIED), Event.CLAIM)
    taken = replace(
        entry,
        lease=facts.lease,
        token=facts.stored.revision,
        attempt=entry.attempt + 1,
        takeovers=takeovers,
        delivery=facts.delivery,
    )
    status = replace(job.status, running={**job.status.running, execution: taken})
    return Claim(
        job=replace(job, status=status),
        execution=execution,
        running=taken,
        start=start_of_running(job, entry),
        rehint=True,
    )


def _bury(job: Job, execution: ExecutionId, event: Event, reason: str, facts: Facts) -> Settle:
    """End an execution that nobody may run again."""
    outcome = Outcome(
        status=advance(ExecutionStatus.RUNNING, event),
        started_at=None,
        ended_at=facts.now,
        error=reason,
        reason=reason,
    )
    record = record_of(job, execution, job.status.running[execution], outcome, replica=None)
    kept = (record,) if is_kept(job, record) else ()
    return Settle(job=finish(job, execution, outcome), reason=outcome.status.value, records=kept)


def _alive(execution: ExecutionId, entry: Running, facts: Facts) -> bool | None:
    if execution in facts.mine:
        return True
    if entry.lease is None or entry.lease == facts.lease:
        return False
    return facts.leases.get(entry.lease)


def _others(job: Job, execution: ExecutionId, facts: Facts) -> frozenset[ExecutionId] | AskLeases:
    """Return what else of the job is running under a live lease; asked for only where that matters."""
    if job.spec.overlap == "allow":
        return frozenset()
    found = {key: _alive(key, entry, facts) for key, entry in job.status.running.items() if key != execution}
    unknown = frozenset(
        lease
        for key, alive in found.items()
        if alive is None and (lease := job.status.running[key].lease) is not None
    )
    if unknown:
        return AskLeases(leases=unknown)
    return frozenset(key for key, alive in found.items() if alive)


def _hand_back(facts: Facts, reason: str) -> HandBack:
    """Hand back with a delay that grows with the deliveries."""
    seconds = min(_LONGEST, _SHORTEST * 2 ** min(facts.deliveries - 1, 10))
    return HandBack(delay=timedelta(seconds=seconds), reason=reason)
