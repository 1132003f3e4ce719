"""What a client is shown of a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job, JobState, Last
from natsched.core.planning import start_of
from natsched.core.schedules import Schedule
from natsched.core.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as it was when it was read; `document` is all of it.

    `next_run` is the instant the next run starts at, by the server's clock; `running` names the executions
    that are claimed, `retrying` those that wait for another attempt; `reason` says why a job is paused or complete.
    """

    id: str
    state: JobState
    schedule: Schedule
    handler: str | None
    target: Target | None
    queue: str
    payload: Any
    metadata: Mapping[str, Any]
    next_run: datetime | None
    paused_until: datetime | None
    last: Last | None
    running: tuple[str, ...]
    retrying: tuple[str, ...]
    runs: int
    counts: Mapping[ExecutionStatus, int]
    reason: str | None
    generation: int
    document: Job


def view(job: Job, now: datetime) -> JobView:
    """Show a job's document."""
    spec, status = job.spec, job.status
    due = status.plan.due
    return JobView(
        id=job.id,
        state=job.state(now),
        schedule=spec.schedule,
        handler=spec.handler,
        target=spec.target,
        queue=spec.queue,
        payload=spec.payload,
        metadata=spec.metadata,
        next_run=None if due is None else start_of(job, due),
        paused_until=None if spec.is_active(now) else spec.paused_until,
        last=status.last,
        running=tuple(status.running),
        retrying=tuple(status.retries),
        runs=status.runs,
        counts=status.counts,
        reason=status.completed or (None if spec.is_active(now) else spec.pause_reason),
        generation=spec.generation,
        document=job,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs; `next` asks for the one after it, None at the end.

    Pages follow the order of the last writes: a job that changes between two pages may come twice.
    """

    jobs: tuple[JobView, ...]
    next: str | None
