"""What waits beside the plan: runs that were asked for, and further attempts of what failed; decided purely."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from natsched.core.catching_up import PAST_DEADLINE
from natsched.core.deadlines import deadline_of
from natsched.core.decisions import (
    AskLeases,
    Decision,
    Drop,
    Settle,
    Wait,
)
from natsched.core.endings import counted, record_of_waiting
from natsched.core.executions import Event, ExecutionStatus, advance
from natsched.core.facts import Facts, hand_back, is_full, others_of, wait_for
from natsched.core.jobs import (
    MAX_RUNNING,
    ExecutionId,
    Job,
    Manual,
    Retrying,
    Running,
    Status,
)
from natsched.core.placing import claimed, parts, place
from natsched.core.planning import settle
from natsched.core.takeovers import bury

ITS_TURN: Final = timedelta(milliseconds=250)
"""When a run that waits for others of a backfill is looked at again, if none of them is running."""

SOON: Final = timedelta(seconds=5)
"""How long before the end of a pause a retry is held until then, rather than hinted again."""


def decide_manual(job: Job, execution: ExecutionId, facts: Facts) -> Decision:
    """Claim a run that was asked for; those of a backfill go in the order of their instants, and know no deadline."""
    asked = job.status.manual[execution]
    left = replace(job.status, manual={key: value for key, value in job.status.manual.items() if key != execution})
    deadline = None if asked.due is not None else deadline_of(job.spec, asked.at)
    if deadline is not None and deadline <= facts.now:
        return _expire(job, left, execution, asked, facts.now)
    if job.spec.concurrency is not None and _is_behind(job, asked):
        return Wait(until=facts.now + ITS_TURN)
    entry = Running(
        lease=facts.lease,
        token=facts.stored.revision,
        due=asked.due or asked.at,
        delivery=facts.delivery,
        manual=True,
        payload=asked.payload,
        cause=asked.cause,
        deadline=deadline,
        trace=asked.trace,
        once=job.spec.never_taken_over,
    )
    return _claim_waiting(job, left, execution, entry, asked.at, facts)


def _is_behind(job: Job, asked: Manual) -> bool:
    """Whether an earlier instant of a backfill waits to be claimed."""
    due = asked.due
    return due is not None and any(other.due is not None and other.due < due for other in job.status.manual.values())


def _expire(job: Job, left: Status, execution: ExecutionId, asked: Manual, now: datetime) -> Settle:
    expired = advance(ExecutionStatus.PLANNED, Event.EXPIRE)
    record = record_of_waiting(job, execution, asked, expired, PAST_DEADLINE, now=now)
    status = replace(left, counts=counted(left.counts, expired))
    return Settle(job=settle(replace(job, status=status), now), reason=expired.value, records=(record,))


def decide_retry(job: Job, execution: ExecutionId, again: Retrying, facts: Facts) -> Decision:
    """Claim the next attempt of an execution that failed; under `skip` it waits for others, and is not skipped."""
    if not again.manual and not job.spec.is_active(facts.now):
        until = job.spec.paused_until
        return Drop(reason="paused") if until is None or until - facts.now > SOON else Wait(until=until)
    retries = {key: value for key, value in job.status.retries.items() if key != execution}
    entry = Running(
        lease=facts.lease,
        token=facts.stored.revision,
        due=again.due,
        attempt=again.attempt,
        delivery=facts.delivery,
        manual=again.manual,
        payload=again.payload,
        cause=again.cause,
        deadline=again.deadline,
        trace=again.trace,
    )
    left = replace(job.status, retries=retries)
    if again.lease is None:
        return _claim_waiting(job, left, execution, entry, again.at, facts)
    alive = again.lease == facts.lease or facts.leases.get(again.lease)
    if alive is None:
        return AskLeases(leases=frozenset({again.lease}))
    entry = replace(entry, lease=again.lease, assigned=again.lease != facts.lease)
    claims = replace(job, status=replace(left, running={**left.running, execution: entry}))
    if not alive:
        return bury(claims, execution, Event.HOLDER_DIED_AT_MOST_ONCE, "its replica is gone", facts)
    others = others_of(job, execution, facts)
    if isinstance(others, AskLeases):
        return others
    if is_full(job, others):
        return wait_for(others, facts, "another execution is running")
    return claimed(claims, execution, {execution: entry}, again.at)


def _claim_waiting(
    job: Job, left: Status, execution: ExecutionId, entry: Running, start: datetime, facts: Facts
) -> Decision:
    """Claim an execution that is not the plan's; `left` is the status without what waited."""
    others = others_of(job, execution, facts)
    if isinstance(others, AskLeases):
        return others
    if is_full(job, others):
        return wait_for(others, facts, "another execution is running")
    places = place(job, facts)
    if not isinstance(places, tuple):
        return places
    if entry.attempt > 1 and job.spec.scope == "all":
        places = (facts.lease,)  # one part is tried again; the others have names and ends of their own
    if len(job.status.running) + len(places) > MAX_RUNNING:
        return hand_back(facts, "too many executions are running")
    entries = parts(execution, entry, places, facts)
    status = replace(left, running={**left.running, **entries})
    return claimed(replace(job, status=status), execution, entries, start)
