"""Values that tests begin with: a small valid default, changed where the test says so."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from natsched.core.executions import ExecutionStatus, Record
from natsched.core.hints import PlanHint, RunHint
from natsched.core.jobs import ExecutionId, Job, JobId, Plan, Spec, Status
from natsched.core.schedules import Interval, Schedule

NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURLY: Final = Interval(timedelta(hours=1))


def make_uid(job: str) -> str:
    """Return the uid that factories give a job of that id."""
    return job.replace(".", "_").upper()


def make_spec(*, schedule: Schedule = HOURLY, anchor: datetime = NOON, **spec: Any) -> Spec:
    return Spec(schedule=schedule, anchor=anchor, **spec)


def make_job(
    job: str = "billing.daily",
    *,
    uid: str | None = None,
    n: int = 1,
    due: datetime | None = NOON,
    status: Status | None = None,
    **spec: Any,
) -> Job:
    """Make a job whose plan is `(n, due)`, unless a whole status is given; the rest is for its spec."""
    return Job(
        id=JobId(job),
        uid=uid or make_uid(job),
        spec=make_spec(**spec),
        status=status or Status(plan=Plan(n=n, due=due)),
    )


def make_plan_hint(
    job: str = "billing.daily",
    n: int = 1,
    *,
    uid: str | None = None,
    start: datetime = NOON,
    revision: int = 1,
    queue: str = "default",
) -> PlanHint:
    return PlanHint(job=JobId(job), uid=uid or make_uid(job), n=n, start=start, revision=revision, queue=queue)


def make_run_hint(
    job: str = "billing.daily",
    execution: str | None = None,
    attempt: int = 1,
    *,
    uid: str | None = None,
    start: datetime = NOON,
    revision: int = 1,
    queue: str = "default",
) -> RunHint:
    uid = uid or make_uid(job)
    return RunHint(
        job=JobId(job),
        uid=uid,
        execution=ExecutionId(execution or f"{uid}-1"),
        attempt=attempt,
        start=start,
        revision=revision,
        queue=queue,
    )


def make_record(
    job: str = "billing.daily",
    execution: str | None = None,
    attempt: int = 1,
    *,
    status: ExecutionStatus = ExecutionStatus.OK,
    due: datetime = NOON,
    **record: Any,
) -> Record:
    uid = record.pop("uid", make_uid(job))
    return Record(
        job=job,
        execution=execution or f"{uid}-1",
        attempt=attempt,
        status=status,
        due=due,
        uid=uid,
        generation=record.pop("generation", 1),
        **record,
    )
