"""Hints: messages that ask to look at a job. They carry no authority, so they may be lost, doubled and late."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic_core import from_json

from natsched.core.ids import is_job_id
from natsched.core.jobs import ExecutionId, JobId
from natsched.errors import DocumentError

HINT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHint:
    """Look at plan `n` of the job: it wants to start at `start` (its due and jitter).

    `revision` is that of the document which made the plan.
    """

    job: JobId
    uid: str
    n: int
    start: datetime
    revision: int
    queue: str = "default"

    @property
    def key(self) -> str:
        """What the server's window recognises a doubled direct delivery by."""
        return f"{self.uid}-{self.n}"

    @property
    def execution(self) -> ExecutionId:
        """The execution that claims the plan."""
        return ExecutionId(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHint:
    """Look at one execution: a manual one, or one whose holder died."""

    job: JobId
    uid: str
    execution: ExecutionId
    attempt: int
    start: datetime
    revision: int
    queue: str = "default"

    @property
    def key(self) -> str:
        return f"{self.execution}.{self.attempt}"


Hint: TypeAlias = PlanHint | RunHint


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A message of the stream that holds a hint: a schedule not yet due, or a delivery not yet acknowledged.

    `hint` is None where the message is not ours to read, `job` empty where its subject names none. `at` is when a
    schedule is to fire.
    """

    seq: int
    subject: str
    job: JobId
    hint: Hint | None
    at: datetime | None = None


def encode_hint(hint: Hint) -> bytes:
    """Write the body of a hint; job and queue are in its subject."""
    match hint:
        case PlanHint():
            which = f'"n":{hint.n}'
        case RunHint():
            which = f'"execution":{json.dumps(hint.execution)},"attempt":{hint.attempt}'
    return (
        f'{{"v":{HINT_VERSION},"uid":{json.dumps(hint.uid)},"rev":{hint.revision},'
        f'"at":"{hint.start.isoformat()}",{which}}}'
    ).encode()


def decode_hint(data: bytes, *, job: str, queue: str = "default") -> Hint:
    """Read the body of a hint; whatever else it may be is a DocumentError."""
    if not is_job_id(job):
        raise DocumentError(field="job", reason=f"{job!r} is no job id")
    try:
        body = from_json(data)
        if body["v"] != HINT_VERSION:
            raise DocumentError(field="v", reason=f"version {body['v']!r} is not one this natsched reads")
        start = datetime.fromisoformat(body["at"])
        if start.utcoffset() is None:
            raise DocumentError(field="at", reason=f"{body['at']!r} has no time zone")
        if start.tzinfo is not UTC:
            start = start.astimezone(UTC)
        uid, revision = str(body["uid"]), int(body["rev"])
        if "n" in body:
            return PlanHint(job=JobId(job), uid=uid, n=int(body["n"]), start=start, revision=revision, queue=queue)
        return RunHint(
            job=JobId(job),
            uid=uid,
            execution=ExecutionId(str(body["execution"])),
            attempt=int(body["attempt"]),
            start=start,
            revision=revision,
            queue=queue,
        )
    except DocumentError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DocumentError(field="hint", reason=f"not a hint of natsched: {error!r}") from error
