"""What becomes of a hint: decided purely, from the document, the hint and a few facts.

A scheduled hint is valid if its `(uid, n)` is the document's plan; a manual one if `manual` names its
execution; a redelivery if `running` does. Anything else is old. No decision that ends a hint without a write
is taken on a read that is older than the hint: then the answer is `ReadAgain`. Every other end is one write,
which the compare-and-set refuses if anything changed since the read.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from natsched.core.catching_up import Take, is_late, take
from natsched.core.control import cancelled
from natsched.core.deadlines import deadline_of
from natsched.core.decisions import (
    AskLeases,
    Claim,
    Decision,
    Displace,
    Drop,
    HandBack,
    PassOn,
    ReadAgain,
    Settle,
    Wait,
)
from natsched.core.endings import counted, record_of_none
from natsched.core.executions import Event, ExecutionStatus, Record, advance
from natsched.core.facts import Facts, hand_back, is_full, others_of, wait_for
from natsched.core.hints import Hint, PlanHint, RunHint
from natsched.core.jobs import (
    MAX_RUNNING,
    ExecutionId,
    Job,
    LeaseId,
    Plan,
    Running,
    Status,
    Stored,
    Unreadable,
)
from natsched.core.pauses import told_of_pause
from natsched.core.placing import claimed, parts, place
from natsched.core.planning import awake, delayed_plan, next_plan, settle, start_of, under_way
from natsched.core.schedules import Gap
from natsched.core.takeovers import RUNNING_ELSEWHERE, decide_running
from natsched.core.waiting import decide_manual, decide_retry

YIELDS: Final = 3
"""How often a run that is queued lets those pass that are to be taken over: nobody may be able to run these."""

PATIENCE: Final = 60
AGAIN: Final = timedelta(seconds=1)
"""How often and how soon a hint of a document that cannot be read goes back: one of a newer version may read it."""


def decide(hint: Hint, facts: Facts) -> Decision:
    """Decide a hint's fate."""
    job = facts.stored.job
    if not facts.authoritative and _may_be_older(facts.stored, hint):
        return ReadAgain()
    if isinstance(job, Unreadable):
        return _leave_to_another(facts)
    if job is None:
        return Drop(reason="job removed")
    if job.uid != hint.uid:
        return Drop(reason="job created anew")
    execution = hint.execution
    is_handover = isinstance(hint, RunHint) and hint.attempt < 0
    if execution in facts.mine and not is_handover:
        return HandBack(delay=RUNNING_ELSEWHERE, reason="it is claimed or running here")
    if not is_handover and (decision := _decide_run(job, execution, hint, facts)) is not None:
        return decision
    if execution in job.status.handovers:
        return PassOn(job=job, execution=execution, patient=facts.deliveries <= PATIENCE)
    return Drop(reason="old plan")


def _decide_run(job: Job, execution: ExecutionId, hint: Hint, facts: Facts) -> Decision | None:
    """Decide on what may run; None if the document knows of no such run."""
    match hint:
        case PlanHint():
            if hint.n == job.status.plan.n and job.status.plan.due is not None:
                return _decide_plan(job, facts)
        case RunHint():
            if execution in job.status.manual:
                return decide_manual(job, execution, facts)
            again = job.status.retries.get(execution)
            if again is not None and again.attempt == hint.attempt:
                return decide_retry(job, execution, again, facts)
    if execution in job.status.running:
        return decide_running(job, execution, facts)
    return None


def _leave_to_another(facts: Facts) -> HandBack | Drop:
    reason = "unreadable document"
    if facts.deliveries > PATIENCE:
        return Drop(reason=reason)
    return HandBack(delay=min(hand_back(facts, reason).delay, AGAIN), reason=reason)


def _may_be_older(stored: Stored, hint: Hint) -> bool:
    """Whether what was read may be from before the hint."""
    other = isinstance(stored.job, Job) and stored.job.uid != hint.uid
    return stored.job is None or other or stored.revision < hint.revision


def _decide_plan(job: Job, facts: Facts) -> Decision:
    taken = take(job, facts.now)
    if taken.due is None:
        return _miss(job, taken, facts)
    if job.spec.catch_up == "all" and is_late(job, facts.now) and under_way(job.status.running, job.status.retries):
        return wait_for(job.status.running, facts, "waits for the run before it")
    others = others_of(job, job.execution_id(job.status.plan.n), facts)
    if isinstance(others, AskLeases):
        return others
    if facts.deliveries <= YIELDS and _is_behind_orphans(job, others):
        return hand_back(facts, "a run before it waits to be taken over")
    start = start_of(job, taken.due)
    if is_full(job, others):
        if facts.now < start:
            return Wait(until=start)
        match job.spec.overlap:
            case "queue":
                return wait_for(others, facts, "waits for the run before it")
            case "replace":
                return _displace(job, others, taken.due, facts)
            case _:
                return _skip(job, taken, facts)
    places = place(job, facts)
    if not isinstance(places, tuple):
        return places
    if len(job.status.running) + len(places) > MAX_RUNNING:
        return hand_back(facts, "too many executions are running")
    return _claim_plan(job, taken, start, places, facts)


def _is_behind_orphans(job: Job, others: frozenset[ExecutionId]) -> bool:
    """Whether a run that was claimed before, and whose replica is gone, has its turn in the queue."""
    if job.spec.overlap != "queue" or job.spec.scope == "all" or is_full(job, others):
        return False
    return any(key not in others for key in job.status.running)


def _displace(job: Job, others: frozenset[ExecutionId], due: datetime, facts: Facts) -> Decision:
    """Ask those that run to end; once they were, wait for their ends."""
    tell = {entry.lease for key in others if (entry := job.status.running[key]).cancel is None and entry.lease}
    if not tell:
        return wait_for(others, facts, "waits for the run that it replaces")
    changed = cancelled(job, others, f"replaced by the run due at {due.isoformat()}")
    return Displace(job=changed, tell=tuple(sorted(tell)))


def _claim_plan(job: Job, taken: Take, start: datetime, places: tuple[LeaseId, ...], facts: Facts) -> Claim | Settle:
    assert taken.due is not None
    status = job.status
    execution = job.execution_id(status.plan.n)
    entry = Running(
        lease=facts.lease,
        token=facts.stored.revision,
        due=taken.due,
        delivery=facts.delivery,
        deadline=deadline_of(job.spec, taken.due),
        once=job.spec.never_taken_over,
    )
    traceless = job.spec.leaves_no_trace and not status.followers
    entries = parts(execution, entry, places, facts)
    running = status.running if traceless else {**status.running, **entries}
    left_out, by = _left_out(job, taken, facts.now), facts.lease if traceless else None
    moved, records = _moved(job, taken, left_out, facts.now, running, status.runs + 1, by)
    return claimed(moved, execution, entries, start, records=records, traceless=traceless, rehint=True)


def _miss(job: Job, taken: Take, facts: Facts) -> Settle:
    moved, records = _moved(job, taken, _left_out(job, taken, facts.now), facts.now)
    return Settle(job=moved, reason=taken.status.value, records=records)


def _skip(job: Job, taken: Take, facts: Facts) -> Settle:
    """Leave out the instant that would run, and with it those that it would have run for."""
    assert taken.due is not None
    passed = Gap(first=taken.due, last=taken.due, number=1)
    if (others := taken.left_out) is not None:
        first, last = min(taken.due, others.first), max(taken.due, others.last)
        passed = replace(others, first=first, last=last, number=others.number + 1)
    limit = job.spec.concurrency
    reason = "the run before it has not ended" if limit == 1 else f"{limit} runs before it have not ended"
    skipped = advance(ExecutionStatus.PLANNED, Event.OVERLAP)
    record = record_of_none(job, passed, skipped, reason, now=facts.now)
    moved, records = _moved(job, taken, record, facts.now)
    return Settle(job=moved, reason="skipped", records=records)


def _moved(
    job: Job,
    taken: Take,
    left_out: Record | None,
    now: datetime,
    running: Mapping[ExecutionId, Running] | None = None,
    runs: int | None = None,
    by: LeaseId | None = None,
) -> tuple[Job, tuple[Record, ...]]:
    """Move the plan on, to the next instant or to none while a fixed delay waits; with the records of that.

    A plan that comes due ends the pause it was made for, which is told of.
    """
    status, due = job.status, job.status.plan.due
    assert due is not None
    counts, records = status.counts, tuple[Record, ...]()
    if not job.spec.active:
        told, records = told_of_pause(job, max(now, due))
        counts = told.status.counts
    if left_out is not None:
        counts = counted(counts, left_out.status, left_out.number)
        records += (left_out,)
    running = status.running if running is None else running
    runs = status.runs if runs is None else runs
    if job.spec.fixed_delay is None:
        plan = next_plan(job, taken.after, runs=runs)
    elif under_way(running, status.retries):
        plan = Plan(n=status.plan.n + 1)
    else:
        plan = delayed_plan(job, now, runs=runs)
    if by is not None:
        plan = Plan(n=plan.n, due=plan.due, by=by)
    status = Status(
        plan=plan,
        running=running,
        retries=status.retries,
        manual=status.manual,
        last_due=taken.after,
        last=status.last,
        runs=runs,
        counts=counts,
        failures=status.failures,
        completed=status.completed,
        followers=status.followers,
        handovers=status.handovers,
        trace=status.trace,
    )
    return settle(Job(id=job.id, uid=job.uid, spec=awake(job.spec), status=status), now), records


_LEFT_OUT: Final[Mapping[ExecutionStatus, Event]] = {
    ExecutionStatus.COALESCED: Event.CATCH_UP_ONE,
    ExecutionStatus.MISSED: Event.TOO_LATE,
    ExecutionStatus.EXPIRED: Event.EXPIRE,
}


def _left_out(job: Job, taken: Take, now: datetime) -> Record | None:
    if taken.left_out is None:
        return None
    status = advance(ExecutionStatus.PLANNED, _LEFT_OUT[taken.status])
    return record_of_none(job, taken.left_out, status, taken.reason, now=now)
