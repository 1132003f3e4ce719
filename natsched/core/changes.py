"""What clients change: each function takes a document and returns the one to put in its place.

None means that nothing differs and nothing is to be written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from natsched.core.endings import counted, is_told, record_of_none
from natsched.core.executions import TRANSITIONS, Event, ExecutionStatus, Record, advance
from natsched.core.jobs import MAX_MANUAL, MAX_RETRIES, ExecutionId, Job, JobId, Manual, Plan, Retrying, Spec, Status
from natsched.core.planning import awake, history_of, paused, replan, same_work, settle
from natsched.core.schedules import Gap, Once, gap, next_due
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
    status = Status(plan=Plan(n=1, due=due), completed="no further instant" if due is None else None)
    return Job(id=job_id, uid=uid, spec=spec, status=status)


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
    if job.state(now) == "completed":
        return None
    if not job.spec.is_active(now) and (job.spec.paused_until, job.spec.pause_reason) == (until, reason):
        return None
    return _replanned(job, replace(job, spec=paused(job.spec, until, reason)), now)


def resume(job: Job, now: datetime) -> Change | None:
    """Go on with the first instant after now; None if it was not paused."""
    if job.spec.active:
        return None
    spec = replace(awake(job.spec), generation=job.spec.generation + 1)
    resumed = replace(job, spec=spec, status=replace(job.status, failures=0))
    return _replanned(job, resumed, now)


def trigger(job: Job, execution: ExecutionId, payload: JsonValue, now: datetime) -> Job:
    """Ask for a run by hand; the plan is not touched."""
    if len(job.status.manual) >= MAX_MANUAL:
        raise TooManyEntries(
            f"{job.id} has {MAX_MANUAL} runs waiting that were asked for by hand: let some start first",
            job=job.id,
        )
    manual: Mapping[ExecutionId, Manual] = {**job.status.manual, execution: Manual(at=now, payload=payload)}
    return replace(job, status=replace(job.status, manual=manual, completed=None))


def retry(job: Job, last: Record, now: datetime) -> Job:
    """Ask for one more attempt of an execution whose last record is `last`; the plan is not touched."""
    execution = ExecutionId(last.execution)
    if last.uid != job.uid:
        raise InvalidJob(
            f"{execution} is of a job {job.id} that was removed since: trigger the job", field="execution"
        )
    if Event.RETRY_BY_HAND not in TRANSITIONS.get(last.status, {}) or not last.attempt:
        raise InvalidJob(f"{execution} is {last.status}: only one that failed is tried again", field="execution")
    if len(job.status.retries) >= MAX_RETRIES:
        raise TooManyEntries(f"{MAX_RETRIES} executions of {job.id} wait for another attempt already", job=job.id)
    again = Retrying(attempt=last.attempt + 1, at=now, due=last.due, manual=True, payload=last.payload)
    retries = {**job.status.retries, execution: again}
    return replace(job, status=replace(job.status, retries=retries, completed=None))


def _replanned(old: Job, changed: Job, now: datetime) -> Change:
    """Plan anew and tell of what was due and unclaimed under the old plan."""
    due = old.status.plan.due
    records: tuple[Record, ...] = ()
    if due is not None and due <= now:
        status = advance(ExecutionStatus.PLANNED, Event.PLAN_REPLACED)
        passed = _passed(old, due, now)
        record = record_of_none(old, passed, status, "the job was changed before it was claimed", now=now)
        records = (record,) if is_told(old, record) else ()
        changed = replace(
            changed,
            status=replace(
                changed.status,
                last_due=passed.last,
                counts=counted(changed.status.counts, status, passed.number),
            ),
        )
    return Change(job=settle(replan(changed, now), now), records=records)


def _passed(job: Job, due: datetime, now: datetime) -> Gap:
    if job.spec.fixed_delay is not None:
        return Gap(first=due, last=due, number=1, exact=True)
    return gap(job.spec.schedule, due, now, anchor=job.spec.anchor, salt=job.id)


def ttl_of(job: Job, retention: timedelta) -> timedelta | None:
    """Return how long the document is to be kept after this write; None: until it is removed."""
    return retention if job.status.completed is not None else None
