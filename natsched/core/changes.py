"""What clients change: each function takes a document and returns the one to put in its place.

None means that nothing differs and nothing is to be written.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from natsched.core.endings import counted, record_of_none, record_of_waiting
from natsched.core.executions import TRANSITIONS, Cause, Event, ExecutionStatus, Record, advance
from natsched.core.jobs import (
    MAX_MANUAL,
    MAX_REASON,
    MAX_RETRIES,
    ExecutionId,
    Job,
    JobId,
    Manual,
    Plan,
    Retrying,
    Spec,
    Status,
)
from natsched.core.pauses import told_of_pause
from natsched.core.planning import awake, gap_of, history_of, paused, replan, same_work, settle
from natsched.core.schedules import Gap, Once, next_due
from natsched.errors import InvalidJob, TooManyEntries


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A document to write, with the records of what it keeps from running (to be created before the write)."""

    job: Job
    records: tuple[Record, ...] = ()


def create(job_id: JobId, uid: str, spec: Spec, now: datetime, *, late: bool = False) -> Job:
    """Return the document of a new job.

    One whose instants are all past is complete from the start, so that an instant in code does not run again
    at every deploy; with `late` a `Once` that is past is planned all the same, for its catch-up policy.
    """
    due = next_due(spec.schedule, now, anchor=spec.anchor, salt=job_id)
    if due is None and late and isinstance(spec.schedule, Once):
        due = spec.schedule.at
    is_over = due is None and not spec.is_reactive
    status = Status(plan=Plan(n=1, due=due), completed="no further instant" if is_over else None)
    return Job(id=job_id, uid=uid, spec=spec, status=status)


def traced(job: Job, trace: Mapping[str, str]) -> Job:
    """Note the trace of who wrote the spec, or that nobody said one."""
    return replace(job, status=replace(job.status, trace=trace)) if trace or job.status.trace else job


def update(job: Job, wanted: Spec, now: datetime) -> Change | None:
    """Change the spec. The plan stays unless schedule or queue differ."""
    if same_work(job.spec, wanted):
        return None
    kept = history_of(job.spec)
    kept["generation"] += 1
    spec = replace(wanted, **kept)
    changed = replace(job, spec=spec)
    if spec.schedule == job.spec.schedule and spec.queue == job.spec.queue:
        return Change(job=settle(changed, now))
    return _replanned(job, changed, now)


def pause(job: Job, now: datetime, until: datetime | None = None, reason: str | None = None) -> Change | None:
    """Stop what is not yet claimed; running executions are left alone."""
    checked_reason(reason or "")
    if job.state(now) == "completed":
        return None
    if not job.spec.is_active(now) and (job.spec.paused_until, job.spec.pause_reason) == (until, reason):
        return None
    since = now if job.spec.is_active(now) else job.spec.paused_since or now
    return _replanned(job, replace(job, spec=paused(job.spec, since, until, reason)), now)


def checked_reason(reason: str) -> str:
    """Return the reason that somebody gives, if it is short enough to be kept in a document."""
    if len(reason) > MAX_REASON:
        raise InvalidJob(f"{len(reason)} characters are too many: {MAX_REASON} at most", field="reason")
    return reason


def resume(job: Job, now: datetime) -> Change | None:
    """Go on with the first instant after now; None if it was not paused."""
    if job.spec.active:
        return None
    spec = replace(awake(job.spec), generation=job.spec.generation + 1)
    resumed = replace(job, spec=spec, status=replace(job.status, failures=0))
    return _replanned(job, resumed, now)


def trigger(
    job: Job,
    execution: ExecutionId,
    payload: JsonValue,
    now: datetime,
    cause: Cause | None = None,
    trace: Mapping[str, str] | None = None,
) -> Job:
    """Ask for a run by hand, or because another has ended; the plan is not touched."""
    if len(job.status.manual) >= MAX_MANUAL:
        raise TooManyEntries(
            f"{job.id} has {MAX_MANUAL} runs waiting that were asked for: let some start first",
            job=job.id,
        )
    asked = Manual(at=now, payload=payload, cause=cause, trace=trace or {})
    manual: Mapping[ExecutionId, Manual] = {**job.status.manual, execution: asked}
    return replace(job, status=replace(job.status, manual=manual, completed=None))


def followed(job: Job, by: JobId) -> Job | None:
    """Note that another job runs after this one; None if that is known."""
    if by in job.status.followers:
        return None
    return replace(job, status=replace(job.status, followers=(*job.status.followers, by)))


def passed_on(job: Job, execution: ExecutionId, gone: Container[JobId]) -> Job:
    """Take note that an end was told to the jobs that follow, of which some are `gone`."""
    handovers = {key: ended for key, ended in job.status.handovers.items() if key != execution}
    followers = tuple(follower for follower in job.status.followers if follower not in gone)
    return replace(job, status=replace(job.status, handovers=handovers, followers=followers))


def retry(job: Job, records: Iterable[Record], now: datetime) -> Job:
    """Ask for one more attempt of an execution that has these records; the plan is not touched."""
    last = latest(records)
    execution = ExecutionId(last.execution)
    if last.uid != job.uid:
        raise InvalidJob(
            f"{execution} is of a job {job.id} that was removed since: trigger the job", field="execution"
        )
    if Event.RETRY_BY_HAND not in TRANSITIONS.get(last.status, {}) or not last.attempt:
        raise InvalidJob(f"{execution} is {last.status}: only one that failed is tried again", field="execution")
    if len(job.status.retries) >= MAX_RETRIES:
        raise TooManyEntries(f"{MAX_RETRIES} executions of {job.id} wait for another attempt already", job=job.id)
    again = Retrying(
        attempt=last.attempt + 1, at=now, due=last.due, manual=True, payload=last.payload, cause=last.cause
    )
    retries = {**job.status.retries, execution: again}
    return replace(job, status=replace(job.status, retries=retries, completed=None))


def latest(records: Iterable[Record]) -> Record:
    """Return the record of the last attempt; one that waited for another when it was cancelled, as cancelled."""
    by_attempt = sorted(records, key=lambda record: record.attempt)
    first, last = by_attempt[0], by_attempt[-1]
    if last.status is ExecutionStatus.RETRYING and first.status is ExecutionStatus.CANCELLED:
        return replace(last, status=first.status)
    return last


def remove(job: Job, now: datetime) -> tuple[Record, ...]:
    """Return the records of what the removal of a job keeps from running."""
    told, records = told_of_pause(job, now)
    records += _overdue(told, now, "the job was removed before it was claimed")
    waiting: Mapping[ExecutionId, Manual | Retrying] = {**job.status.manual, **job.status.retries}
    for execution, entry in waiting.items():
        before = ExecutionStatus.PLANNED if isinstance(entry, Manual) else ExecutionStatus.RETRYING
        status = advance(before, Event.CANCEL)
        records += (record_of_waiting(job, execution, entry, status, "the job was removed", now=now),)
    return records + tuple(_claimed(job, now))


def _claimed(job: Job, now: datetime) -> Iterator[Record]:
    """Tell of what is claimed: a run that has begun leaves the record of its end too, one that has not never will."""
    status = advance(ExecutionStatus.RUNNING, Event.CANCEL)
    for execution, entry in job.status.running.items():
        claimed = Gap(first=entry.due, last=entry.due, number=1)
        record = record_of_none(job, claimed, status, "the job was removed while it was claimed or ran", now=now)
        yield replace(record, execution=execution, manual=entry.manual, payload=entry.payload)


def _replanned(old: Job, changed: Job, now: datetime) -> Change:
    """Plan anew and tell of what was due and unclaimed under the old plan, or fell due in a pause."""
    told, records = old, tuple[Record, ...]()
    if not _stays_paused(old, changed, now):
        told, records = told_of_pause(old, now)
        if not changed.spec.active:
            since = None if changed.spec.is_active(now) else now
            changed = replace(changed, spec=replace(changed.spec, paused_since=since))
    last_due, counts = told.status.last_due, told.status.counts
    overdue = _overdue(old, now, "the job was changed before it was claimed")
    for record in overdue:
        last_due, counts = record.due, counted(counts, record.status, record.number)
    changed = replace(changed, status=replace(changed.status, last_due=last_due, counts=counts))
    return Change(job=settle(replan(changed, now), now), records=(*records, *overdue))


def _stays_paused(old: Job, changed: Job, now: datetime) -> bool:
    """Whether the same instants go on to fall due in the same pause, of which its end will tell."""
    if old.spec.is_active(now) or changed.spec.is_active(now):
        return False
    return old.spec.schedule == changed.spec.schedule


def _overdue(job: Job, now: datetime, reason: str) -> tuple[Record, ...]:
    """Return the record of what is due and unclaimed."""
    due = job.status.plan.due
    if due is None or due > now:
        return ()
    status = advance(ExecutionStatus.PLANNED, Event.PLAN_REPLACED)
    return (record_of_none(job, gap_of(job, due, now), status, reason, now=now),)


def ttl_of(job: Job, retention: timedelta) -> timedelta | None:
    """Return how long the document is to be kept after this write; None: until it is removed."""
    return retention if job.status.completed is not None else None
