"""Where a hint lies in the stream, and how a message of it is read."""

from natsched.core.hints import Hint, Pending, PlanHint, decode_hint
from natsched.core.ids import is_job_id
from natsched.core.jobs import JobId
from natsched.errors import DocumentError
from natsched.memory.stream import Message

DELIVERIES = "scheduler.delivery"
NOTICES = "scheduler.webhook"


def plan_schedule(job: str) -> str:
    return f"scheduler.schedule.{job}"


def schedule_of(hint: Hint) -> str:
    """Name the subject on which the hint waits."""
    match hint:
        case PlanHint():
            return plan_schedule(hint.job)
        case _:
            return f"scheduler.retry.{hint.job}.{hint.execution}"


def delivery_of(hint: Hint) -> str:
    """Name the subject on which the hint is delivered."""
    match hint:
        case PlanHint():
            return f"{DELIVERIES}.{hint.queue}.plan.{hint.job}"
        case _:
            return f"{DELIVERIES}.{hint.queue}.run.{hint.execution}.{hint.job}"


def read_hint(message: Message) -> tuple[JobId, Hint | None, str | None]:
    """Read job and hint of a schedule or delivery, or the problem with it."""
    subject = message.target or message.subject
    queue, kind, rest = (*subject.split(".", 4)[2:], "", "", "")[:3]
    job = JobId(rest if kind == "plan" else rest.partition(".")[2])
    if not is_job_id(job):
        return JobId(""), None, f"{subject} is not the subject of a delivery"
    try:
        return job, decode_hint(message.data, job=job, queue=queue), None
    except DocumentError as error:
        return job, None, error.message


def read_pending(message: Message) -> Pending:
    job, hint, _ = read_hint(message)
    return Pending(seq=message.seq, subject=message.subject, job=job, hint=hint, at=message.at)
