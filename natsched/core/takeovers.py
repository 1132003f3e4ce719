"""What becomes of an execution whose hint comes again: it is running, it ended unseen, or its replica died."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from natsched.core.control import ended
from natsched.core.decisions import AskLeases, AskRecord, Decision, Drop, HandBack, ReadAgain, Settle
from natsched.core.endings import Outcome, finish, record_of
from natsched.core.executions import FINAL, Event, ExecutionStatus, advance
from natsched.core.facts import Facts, is_alive, is_full, others_of, wait_for
from natsched.core.jobs import ExecutionId, Job
from natsched.core.placing import claimed, place
from natsched.core.planning import start_of_running

RUNNING_ELSEWHERE: Final = timedelta(seconds=2)
"""When a redelivered hint of a running execution is looked at again; its lease's end is noticed before."""


TRUSTS: Final = 3
"""How often a living holder is taken at its word: after that it may be one of an older version, which has recorded
the end, but cannot read the document any more in which it is to be written."""


def decide_running(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    entry = job.status.running[execution]
    alive = is_alive(execution, entry, facts)
    if alive is None:
        assert entry.lease is not None
        return AskLeases(leases=frozenset({entry.lease}))
    if alive and facts.deliveries <= TRUSTS:
        return HandBack(delay=RUNNING_ELSEWHERE, reason="it is running")
    if not facts.authoritative:
        return ReadAgain()
    if not facts.record_known:
        return AskRecord(execution=execution, attempt=entry.attempt)
    record = facts.record
    if record is not None and (record.status in FINAL or record.retry_at is not None):
        outcome = Outcome(
            status=record.status,
            started_at=record.started_at,
            ended_at=record.ended_at or facts.now,
            error=record.error,
            retry_at=record.retry_at,
        )
        change = ended(job, execution, outcome)
        return Settle(job=change.job, reason="finished from its record", records=change.records, finished=record)
    if alive:
        return HandBack(delay=RUNNING_ELSEWHERE, reason="it is running")
    return _take_over(job, execution, facts)


def _take_over(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    entry = job.status.running[execution]
    takeovers = entry.takeovers + (entry.lease is not None)
    if entry.cancel is not None:
        return bury(job, execution, Event.CANCEL, entry.cancel, facts)
    if entry.once or job.spec.never_taken_over:
        return bury(job, execution, Event.HOLDER_DIED_AT_MOST_ONCE, "its replica died", facts)
    if takeovers > job.spec.max_crashes:
        return bury(job, execution, Event.CRASH_TOO_OFTEN, f"{takeovers} replicas died running it", facts)
    if not entry.manual and not job.spec.is_active(facts.now):
        return Drop(reason="paused")
    others = others_of(job, execution, facts)
    if isinstance(others, AskLeases):
        return others
    if is_full(job, others):
        return wait_for(others, facts, "another execution is running")
    places = place(job, facts)
    if not isinstance(places, tuple):
        return places
    advance(advance(ExecutionStatus.RUNNING, Event.HOLDER_DIED), Event.CLAIM)
    taken = replace(
        entry,
        lease=places[0],
        assigned=places[0] != facts.lease,
        token=facts.stored.revision,
        attempt=entry.attempt + 1,
        takeovers=takeovers,
        delivery=facts.delivery,
    )
    status = replace(job.status, running={**job.status.running, execution: taken})
    start = start_of_running(job, entry)
    return claimed(replace(job, status=status), execution, {execution: taken}, start, rehint=True)


def bury(job: Job, execution: ExecutionId, event: Event, reason: str, facts: Facts) -> Settle:
    """End an execution that nobody may run again."""
    outcome = Outcome(
        status=advance(ExecutionStatus.RUNNING, event),
        started_at=None,
        ended_at=facts.now,
        error=reason,
        reason=reason,
    )
    record = record_of(job, execution, job.status.running[execution], outcome, replica=None)
    return Settle(job=finish(job, execution, outcome), reason=outcome.status.value, records=(record,))
