"""What becomes of a hint: decided purely, from the document, the hint and a few facts.

A scheduled hint is valid if its `(uid, n)` is the document's plan; a manual one if `manual` names its
execution; a redelivery if `running` does. Anything else is old. No decision that ends a hint without a write
is taken on a read that is older than the hint: then the answer is `ReadAgain`. Every other end is one write,
which the compare-and-set refuses if anything changed since the read.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from natsched.core.decisions import (
    AskLeases,
    Claim,
    Decision,
    Drop,
    HandBack,
    ReadAgain,
    Settle,
    Wait,
)
from natsched.core.endings import counted, is_told, record_of_none
from natsched.core.executions import Event, ExecutionStatus, Record, advance
from natsched.core.facts import Facts, hand_back, is_full, others_of, wait_for
from natsched.core.hints import Hint, PlanHint, RunHint
from natsched.core.jobs import (
    MAX_RUNNING,
    ExecutionId,
    Job,
    Plan,
    Retrying,
    Running,
    Status,
    Stored,
    Unreadable,
)
from natsched.core.planning import (
    Take,
    awake,
    delayed_plan,
    is_late,
    next_plan,
    settle,
    start_of,
    take,
    under_way,
)
from natsched.core.schedules import Gap
from natsched.core.takeovers import RUNNING_ELSEWHERE, decide_running


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
            again = job.status.retries.get(execution)
            if again is not None and again.attempt == hint.attempt:
                return _decide_retry(job, execution, again, facts)
    if execution in job.status.running:
        return decide_running(job, execution, facts)
    return Drop(reason="old plan")


def _may_be_older(stored: Stored, hint: Hint) -> bool:
    """Whether what was read may be from before the hint."""
    other = isinstance(stored.job, Job) and stored.job.uid != hint.uid
    return stored.job is None or other or stored.revision < hint.revision


def _decide_plan(job: Job, facts: Facts) -> Decision:
    taken = take(job, facts.now)
    if job.spec.catch_up == "all" and is_late(job, facts.now) and under_way(job.status.running, job.status.retries):
        return wait_for(job.status.running, facts, "waits for the run before it")
    if taken.due is None:
        return _miss(job, taken, facts)
    others = others_of(job, job.execution_id(job.status.plan.n), facts)
    if isinstance(others, AskLeases):
        return others
    start = start_of(job, taken.due)
    if is_full(job, others):
        if facts.now < start:
            return Wait(until=start)
        if job.spec.overlap == "queue":
            return wait_for(others, facts, "waits for the run before it")
        return _skip(job, taken, facts)
    if len(job.status.running) >= MAX_RUNNING:
        return hand_back(facts, "too many executions are running")
    return _claim_plan(job, taken, start, facts)


def _claim_plan(job: Job, taken: Take, start: datetime, facts: Facts) -> Claim:
    assert taken.due is not None
    status = job.status
    execution = job.execution_id(status.plan.n)
    entry = Running(lease=facts.lease, token=facts.stored.revision, due=taken.due, delivery=facts.delivery)
    traceless = job.spec.leaves_no_trace
    counts, records = _left_out(job, taken, facts.now)
    running = status.running if traceless else {**status.running, execution: entry}
    return Claim(
        job=_moved(job, taken.due, taken, counts, facts.now, running=running, runs=status.runs + 1),
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
    moved = _moved(job, taken.left_out.last, taken, counts, facts.now)
    return Settle(job=moved, reason="missed", records=records)


def _skip(job: Job, taken: Take, facts: Facts) -> Settle:
    assert taken.due is not None
    skipped = advance(ExecutionStatus.PLANNED, Event.OVERLAP)
    passed = Gap(first=taken.due, last=taken.due, number=1)
    if taken.left_out is not None:
        passed = replace(taken.left_out, last=taken.due, number=taken.left_out.number + 1)
    limit = job.spec.concurrency
    reason = "the run before it has not ended" if limit == 1 else f"{limit} runs before it have not ended"
    record = record_of_none(job, passed, skipped, reason, now=facts.now)
    counts = counted(job.status.counts, skipped, passed.number)
    moved = _moved(job, taken.due, taken, counts, facts.now)
    kept = (record,) if is_told(job, record) else ()
    return Settle(job=moved, reason="skipped", records=kept)


def _moved(
    job: Job,
    last_due: datetime,
    taken: Take,
    counts: Mapping[ExecutionStatus, int],
    now: datetime,
    *,
    running: Mapping[ExecutionId, Running] | None = None,
    runs: int | None = None,
) -> Job:
    """Move the plan on: to the next instant, or to none while a fixed delay waits.

    A plan that comes due ends the pause it was made for.
    """
    status = job.status
    running = status.running if running is None else running
    runs = status.runs if runs is None else runs
    if job.spec.fixed_delay is None:
        plan = next_plan(job, taken.after, runs=runs)
    elif under_way(running, status.retries):
        plan = Plan(n=status.plan.n + 1)
    else:
        plan = delayed_plan(job, now, runs=runs)
    status = Status(
        plan=plan,
        running=running,
        retries=status.retries,
        manual=status.manual,
        last_due=last_due,
        last=status.last,
        runs=runs,
        counts=counts,
        failures=status.failures,
        completed=status.completed,
    )
    return settle(Job(id=job.id, uid=job.uid, spec=awake(job.spec), status=status), now)


def _left_out(job: Job, taken: Take, now: datetime) -> tuple[Mapping[ExecutionStatus, int], tuple[Record, ...]]:
    if taken.left_out is None:
        return job.status.counts, ()
    coalesced = taken.status is ExecutionStatus.COALESCED
    status = advance(ExecutionStatus.PLANNED, Event.CATCH_UP_LATEST if coalesced else Event.TOO_LATE)
    reason = "a later instant runs for it" if coalesced else "looked at too late"
    record = record_of_none(job, taken.left_out, status, reason, now=now)
    counts = counted(job.status.counts, status, taken.left_out.number)
    return counts, (record,) if is_told(job, record) else ()


def _decide_manual(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    asked = job.status.manual[execution]
    manual = {key: value for key, value in job.status.manual.items() if key != execution}
    entry = Running(
        lease=facts.lease,
        token=facts.stored.revision,
        due=asked.at,
        delivery=facts.delivery,
        manual=True,
        payload=asked.payload,
    )
    return _claim_waiting(job, replace(job.status, manual=manual), execution, entry, asked.at, facts)


def _decide_retry(job: Job, execution: ExecutionId, again: Retrying, facts: Facts) -> Decision:
    """Claim the next attempt of an execution that failed; under `skip` it waits for others, and is not skipped."""
    if not again.manual and not job.spec.is_active(facts.now):
        return Drop(reason="paused")
    retries = {key: value for key, value in job.status.retries.items() if key != execution}
    entry = Running(
        lease=facts.lease,
        token=facts.stored.revision,
        due=again.due,
        attempt=again.attempt,
        delivery=facts.delivery,
        manual=again.manual,
        payload=again.payload,
    )
    return _claim_waiting(job, replace(job.status, retries=retries), execution, entry, again.at, facts)


def _claim_waiting(
    job: Job, left: Status, execution: ExecutionId, entry: Running, start: datetime, facts: Facts
) -> Decision:
    """Claim an execution that is not the plan's; `left` is the status without what waited."""
    others = others_of(job, execution, facts)
    if isinstance(others, AskLeases):
        return others
    if is_full(job, others):
        return wait_for(others, facts, "another execution is running")
    if len(job.status.running) >= MAX_RUNNING:
        return hand_back(facts, "too many executions are running")
    status = replace(left, running={**left.running, execution: entry})
    return Claim(job=replace(job, status=status), execution=execution, running=entry, start=start)
