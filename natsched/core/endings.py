"""How executions end: the record that is kept and the document that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import JsonValue

from natsched.core.executions import FAILED_FOR_GOOD, FAILURES, Cause, CheckIn, ExecutionStatus, Logs, Record
from natsched.core.jobs import MAX_REASON, ExecutionId, Job, Last, LeaseId, Manual, Retrying, Running, Status
from natsched.core.planning import TICK, paused, replan, settle
from natsched.core.schedules import Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt went; the instants are by the server's clock. `retry_at` is when the next one starts, if any;
    `trace` what it goes on from.

    What a handler says of its failure may be any text: what UTF-8 cannot carry is escaped.
    """

    status: ExecutionStatus
    started_at: datetime | None
    ended_at: datetime
    error: str | None = None
    traceback: str | None = None
    reason: str | None = None
    retry_at: datetime | None = None
    result: JsonValue = None
    check_in: CheckIn | None = None
    hooks: Mapping[str, str] | None = None
    logs: Logs | None = None
    trace: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.hooks:
            object.__setattr__(self, "hooks", {name: _sayable(text) for name, text in self.hooks.items()})
        if self.error is None and self.traceback is None:
            return
        for name in ("error", "traceback"):
            text: str | None = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, _sayable(text))


def _sayable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def record_of(job: Job, execution: ExecutionId, entry: Running, outcome: Outcome, *, replica: str | None) -> Record:
    """Return the record of an attempt."""
    return Record(
        job=job.id,
        execution=execution,
        attempt=entry.attempt,
        status=outcome.status,
        due=entry.due,
        uid=job.uid,
        generation=job.spec.generation,
        handler=job.spec.handler,
        queue=job.spec.queue,
        replica=replica,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        reason=outcome.reason,
        error=outcome.error,
        traceback=outcome.traceback,
        manual=entry.manual,
        metadata=job.spec.metadata or None,
        retry_at=outcome.retry_at,
        payload=entry.payload,
        result=outcome.result,
        check_in=outcome.check_in,
        cause=entry.cause,
        hooks=outcome.hooks,
        logs=outcome.logs,
    )


def record_of_none(job: Job, gap: Gap, status: ExecutionStatus, reason: str, *, now: datetime) -> Record:
    """Return the record of runs that did not happen, under the execution of the job's plan, as attempt 0."""
    return Record(
        job=job.id,
        execution=job.execution_id(job.status.plan.n),
        attempt=0,
        status=status,
        due=gap.last,
        uid=job.uid,
        generation=job.spec.generation,
        handler=job.spec.handler,
        queue=job.spec.queue,
        ended_at=now,
        reason=reason,
        metadata=job.spec.metadata or None,
        first=gap.first,
        last=gap.last,
        number=gap.number,
        exact=gap.exact,
    )


def is_unwritten(record: Record, job: Job) -> bool:
    """Whether a record that runs did not happen is of a decision that came to nothing, or is not written yet.

    Records come before the write that they belong to, which moves the plan on: here the plan is there still, or a
    pause came between, which will tell of the same instants.
    """
    if record.first is None or record.manual or record.uid != job.uid:
        return False
    since = None if job.spec.active else job.spec.paused_since
    is_paused = since is not None and record.first > since and record.status is not ExecutionStatus.PAUSED
    return is_paused or record.execution == job.execution_id(job.status.plan.n)


def record_of_waiting(
    job: Job, execution: ExecutionId, entry: Manual | Retrying, status: ExecutionStatus, reason: str, *, now: datetime
) -> Record:
    """Return the record of an execution that waited, for its start or its next attempt, and will not run."""
    return Record(
        job=job.id,
        execution=execution,
        attempt=0,
        status=status,
        due=entry.due or entry.at,
        uid=job.uid,
        generation=job.spec.generation,
        handler=job.spec.handler,
        queue=job.spec.queue,
        ended_at=now,
        reason=reason,
        manual=isinstance(entry, Manual) or entry.manual,
        metadata=job.spec.metadata or None,
        payload=entry.payload,
    )


def is_kept(job: Job, record: Record) -> bool:
    """Whether the job's history keeps the record; a run asked for by hand is always told of."""
    if record.manual or job.spec.history == "all":
        return True
    return job.spec.history == "failures" and record.status in FAILURES


def holds(job: Job, execution: ExecutionId, *, token: int, lease: LeaseId) -> bool:
    """Whether the execution is still that holder's: token and lease together."""
    entry = job.status.running.get(execution)
    return entry is not None and entry.token == token and entry.lease == lease


def finish(job: Job, execution: ExecutionId, outcome: Outcome) -> Job:
    """Take an attempt that ended out of `running`, with all that follows: counts, last, retry, plan, completion."""
    entry = job.status.running[execution]
    running = {key: value for key, value in job.status.running.items() if key != execution}
    last = Last(
        execution=execution,
        attempt=entry.attempt,
        status=outcome.status,
        due=entry.due,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        error=outcome.error,
    )
    if outcome.retry_at is not None:
        retries = {**job.status.retries, execution: _again(job, entry, outcome, outcome.retry_at)}
        return replace(job, status=replace(job.status, running=running, last=last, retries=retries))
    before = job.status
    status = Status(  # once for each run: `replace` takes half as long again
        plan=before.plan,
        running=running,
        retries=before.retries,
        manual=before.manual,
        last_due=before.last_due,
        last=last,
        runs=before.runs,
        counts=counted(before.counts, outcome.status),
        failures=_failures(job, outcome.status),
        completed=before.completed,
        followers=before.followers,
        handovers=_handovers(job, execution, entry, outcome) if before.followers else before.handovers,
        trace=before.trace,
    )
    ended = Job(id=job.id, uid=job.uid, spec=job.spec, status=status)
    return settle(_paused_for_failures(ended, outcome), outcome.ended_at)


def _again(job: Job, entry: Running, outcome: Outcome, at: datetime) -> Retrying:
    return Retrying(
        attempt=entry.attempt + 1,
        at=at,
        due=entry.due,
        manual=entry.manual,
        payload=entry.payload,
        lease=entry.lease if job.spec.scope == "all" else None,
        cause=entry.cause,
        deadline=entry.deadline,
        trace=outcome.trace or entry.trace,
    )


def _handovers(job: Job, execution: ExecutionId, entry: Running, outcome: Outcome) -> Mapping[ExecutionId, Cause]:
    """Return the ends that the jobs which follow are still to be told, with this one."""
    ended = Cause(
        job=job.id,
        execution=execution,
        attempt=entry.attempt,
        status=outcome.status,
        at=outcome.ended_at,
    )
    return {**job.status.handovers, execution: ended}


def _failures(job: Job, status: ExecutionStatus) -> int:
    """Return how many executions have failed for good since one went well."""
    if status is ExecutionStatus.OK:
        keep = job.spec.retry is not None and not job.spec.retry.reset_on_success
        return job.status.failures if keep else 0
    return job.status.failures + (status in FAILED_FOR_GOOD)


def _paused_for_failures(job: Job, outcome: Outcome) -> Job:
    limit, failures = job.spec.auto_pause_after, job.status.failures
    if limit is None or failures < limit or outcome.status not in FAILED_FOR_GOOD or not job.spec.active:
        return job
    reason = f"{failures} failures in a row, the last: {outcome.error or outcome.status.value}"[:MAX_REASON]
    due, since = job.status.plan.due, outcome.ended_at
    if due is not None and due <= since:  # what is due and unclaimed is told of with what falls due in the pause
        since = due - TICK
    return replan(replace(job, spec=paused(job.spec, since, None, reason)), outcome.ended_at)


def release(job: Job, execution: ExecutionId) -> Job:
    """Give an execution back, so that any replica goes on with it at once: no death, so no takeover counted."""
    entry = replace(job.status.running[execution], lease=None)
    running = {**job.status.running, execution: entry}
    return replace(job, status=replace(job.status, running=running))


def counted(
    counts: Mapping[ExecutionStatus, int], status: ExecutionStatus, number: int = 1
) -> Mapping[ExecutionStatus, int]:
    return {**counts, status: counts.get(status, 0) + number}
