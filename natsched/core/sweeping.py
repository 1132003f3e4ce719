"""What the reconciler finds and what it does about it, one document or message at a time.

Hints carry no authority, so a wrong guess costs one message and a repair that is made twice is harmless.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from natsched.core.hints import Hint, Pending, PlanHint, RunHint
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Stored, Unreadable
from natsched.core.owed import handover_hint, manual_hint, retry_hint, takeover_hint
from natsched.core.planning import plan_hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehint:
    """Hint again; where `suspect` only if it was missing for as long as the grace."""

    hint: Hint
    reason: str
    suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete a message by its sequence, never by subject: what lies there by now may be another's."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell the replicas of these leases again what they may not have heard of the job."""

    job: JobId
    leases: frozenset[LeaseId]


Repair: TypeAlias = Rehint | Delete | Tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a sweep sees besides the documents: the time, its grace and which leases live."""

    now: datetime
    grace: timedelta
    live: Container[LeaseId]


def inspect(stored: Stored, scheduled: Pending | None, sight: Sight) -> Iterator[Repair]:
    """Compare a job's document with its schedule; what seems to be missing may yet lie among the deliveries."""
    job = stored.job
    if not isinstance(job, Job):
        return
    yield from _inspect_plan(job, stored.revision, scheduled, sight)
    for execution in job.status.manual:
        yield Rehint(
            hint=manual_hint(job, execution, stored.revision),
            reason="asked for by hand, but no message of it",
            suspect=True,
        )
    for execution in job.status.retries:
        if (hint := retry_hint(job, execution, stored.revision)) is not None:
            yield Rehint(hint=hint, reason="waits for its next attempt, but no message of it", suspect=True)
    for execution in job.status.handovers:
        hint = handover_hint(job, execution, stored.revision)
        yield Rehint(hint=hint, reason="an end is to be passed on, but no message of it", suspect=True)
    yield from abandoned(stored, sight)
    yield from untold(stored, sight)


def untold(stored: Stored, sight: Sight) -> Iterator[Tell]:
    """Find replicas that are to run or to end something; one that knows of it takes no harm from the word."""
    job = stored.job
    if not isinstance(job, Job) or not job.status.running:
        return
    leases = frozenset(
        entry.lease
        for entry in job.status.running.values()
        if entry.lease is not None and entry.lease in sight.live and (entry.assigned or entry.cancel or entry.paused)
    )
    if leases:
        yield Tell(job=job.id, leases=leases)


def _inspect_plan(job: Job, revision: int, scheduled: Pending | None, sight: Sight) -> Iterator[Repair]:
    hint = plan_hint(job, revision)
    found = scheduled.hint if scheduled is not None else None
    if scheduled is None:
        if hint is not None:
            overdue = sight.now - hint.start > sight.grace
            yield Rehint(hint=hint, reason="plan without a message", suspect=not overdue)
    elif found is not None and hint is not None and _is_plan(found, hint):
        reason = _wrong(scheduled.at, found, hint, sight)
        if reason is not None:
            yield Delete(seq=scheduled.seq, reason=reason)
            yield Rehint(hint=hint, reason=reason)
    elif found is None or found.revision < revision:
        yield Delete(seq=scheduled.seq, reason="schedule of an old plan")
        if hint is not None:
            yield Rehint(hint=hint, reason="schedule of an old plan")


def _wrong(at: datetime | None, found: Hint, hint: PlanHint, sight: Sight) -> str | None:
    """Say why a schedule of the right plan will not tell of it in time, if that is so."""
    never = at is None or max(at, found.start) > max(sight.now, hint.start)
    if never and found.revision <= hint.revision:
        return "schedule of another instant"
    return "schedule stuck in the server" if at is not None and sight.now - at > sight.grace else None


def is_scheduled(hint: RunHint, scheduled: Pending | None, sight: Sight) -> bool:
    """Whether an execution's hint lies on its schedule subject and is not stuck there."""
    if scheduled is None or not isinstance(scheduled.hint, RunHint) or scheduled.at is None:
        return False
    found = scheduled.hint
    is_same = (found.uid, found.attempt) == (hint.uid, hint.attempt)
    return is_same and sight.now - scheduled.at <= sight.grace


def _is_plan(found: Hint | None, hint: PlanHint | None) -> bool:
    return isinstance(found, PlanHint) and hint is not None and (found.uid, found.n) == (hint.uid, hint.n)


def abandoned(stored: Stored, sight: Sight) -> Iterator[Rehint]:
    """Find executions whose holder is gone; those of a paused job wait for it to go on."""
    job = stored.job
    if not isinstance(job, Job):
        return
    for execution, entry in job.status.running.items():
        if entry.lease is not None and entry.lease in sight.live:
            continue
        if entry.manual or job.spec.is_active(sight.now):
            yield Rehint(
                hint=takeover_hint(job, execution, entry, stored.revision),
                reason="its replica is gone",
                suspect=not entry.assigned,  # what another claimed for it has no message that may be on its way
            )


def overdue(stored: Stored, now: datetime) -> PlanHint | None:
    """Return the hint of a plan that should have been claimed by now."""
    if not isinstance(stored.job, Job):
        return None
    hint = plan_hint(stored.job, stored.revision)
    return hint if hint is not None and hint.start <= now else None


def inspect_schedule(pending: Pending, stored: Stored) -> Delete | None:
    """Judge a schedule by its job's document; one without a job goes once the leader confirmed that."""
    job = stored.job
    if isinstance(job, Unreadable):
        return None
    hint = pending.hint
    if job is None:
        return Delete(seq=pending.seq, reason="schedule without a job")
    if isinstance(hint, RunHint) and hint.revision < stored.revision:
        known: Mapping[ExecutionId, object] = {
            **job.status.running,
            **job.status.retries,
            **job.status.manual,
            **job.status.handovers,
        }
        if hint.uid != job.uid or hint.execution not in known:
            return Delete(seq=pending.seq, reason="schedule of an execution that ended")
    return None
