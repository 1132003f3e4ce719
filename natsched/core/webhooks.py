"""Status hooks: which changes of an execution are told, to whom, how they are signed, and when one is outdated.

A change is told by a message of its own for each URL, so that a receiver that is down holds up no other. What
orders the changes of one execution is `revision`, four for each attempt: 4a while attempt a runs, 4a+1 when it was
interrupted or is to be tried again, 4a+2 when it ended for good, 4a+3 when after it one more attempt was asked for by
hand, or the one that was planned was cancelled. What did not run is attempt 0, so anything else told is newer.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import JsonValue

from natsched.core.executions import STORED, ExecutionStatus, Record
from natsched.core.targets import SECRETS, problem_of_references, problem_of_url
from natsched.errors import DocumentError, InvalidJob

NOTICE_VERSION: Final = 1
BY_HAND: Final = 3
"""The stage of an execution to which somebody put a hand between two attempts: to try it again, or no more."""

FIRST_DELAY: Final = timedelta(seconds=1)
LONGEST_DELAY: Final = timedelta(minutes=5)
_STAGES: Final = 4
_STAGE: Final[Mapping[ExecutionStatus, int]] = {
    ExecutionStatus.RUNNING: 0,
    ExecutionStatus.INTERRUPTED: 1,
    ExecutionStatus.RETRYING: 1,
}
_FINAL_STAGE: Final = 2
_DIGEST: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where status changes are sent: a POST to `url` for each of `statuses`, all if it is empty.

    `secret` names the replica's environment variable, beginning with `NATSCHED_SECRET_`, that holds the key to
    sign with. `${NAME}` in the URL is such a variable too.
    """

    __pydantic_config__ = STORED

    url: str
    secret: str | None = None
    statuses: tuple[ExecutionStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A webhook for the jobs at and below a prefix of whole tokens; for all jobs if it is empty."""

    webhook: Webhook
    jobs: str = ""

    def covers(self, job: str) -> bool:
        return not self.jobs or job == self.jobs or job.startswith(f"{self.jobs}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One status change on its way to one URL."""

    url: str
    secret: str | None
    id: str
    job: str
    execution: str
    revision: int
    at: datetime
    body: Mapping[str, JsonValue]

    @property
    def key(self) -> str:
        """What the server's window recognises a doubled one by."""
        digest = hashlib.sha256(json.dumps([self.url, self.secret]).encode()).hexdigest()[:_DIGEST]
        return f"{self.id}.{digest}"


def problem_of_secret(name: str) -> str | None:
    """Say why a text is no name of a secret, if that is so; the text is not repeated: it may be the secret."""
    if name.startswith(SECRETS) and name != SECRETS and name.isidentifier():
        return None
    return f"should be the name of an environment variable that begins with {SECRETS}, never the secret itself"


def check(webhook: Webhook, *, field: str = "webhook") -> None:
    """Raise InvalidJob with the field if nothing could ever be sent there."""
    problem = problem_of_url(webhook.url) or problem_of_references(webhook.url)
    if problem is not None:
        raise InvalidJob(problem, field=f"{field}.url")
    problem = None if webhook.secret is None else problem_of_secret(webhook.secret)
    if problem is not None:
        raise InvalidJob(problem, field=f"{field}.secret")
    for index, status in enumerate(webhook.statuses):
        if status is ExecutionStatus.PLANNED:
            raise InvalidJob("`planned` is never told: leave it out", field=f"{field}.statuses.{index}")


def revision_of(record: Record, after: int | None = None) -> int:
    """Return the number that orders the changes of one execution; `after` is the attempt after which by hand."""
    if after is not None:
        return after * _STAGES + BY_HAND
    return record.attempt * _STAGES + _STAGE.get(record.status, _FINAL_STAGE)


def notices(
    record: Record, own: Webhook | None, subscriptions: Sequence[Subscription], *, after: int | None = None
) -> list[Notice]:
    """Return what is to be sent of a change: one notice for each URL that asked for it."""
    asking = [subscription.webhook for subscription in subscriptions if subscription.covers(record.job)]
    if own is not None:
        asking.insert(0, own)
    wanted = [hook for hook in asking if not hook.statuses or record.status in hook.statuses]
    if not wanted:
        return []
    body = _body(record, revision_of(record, after))
    at = record.ended_at or record.due
    made = (
        Notice(
            url=hook.url,
            secret=hook.secret,
            id=str(body["id"]),
            job=record.job,
            execution=record.execution,
            revision=revision_of(record, after),
            at=at,
            body=body,
        )
        for hook in wanted
    )
    return list({notice.key: notice for notice in made}.values())


def _body(record: Record, revision: int) -> dict[str, JsonValue]:
    optional: dict[str, JsonValue] = {
        "started_at": _iso(record.started_at),
        "retry_at": _iso(record.retry_at),
        "first": _iso(record.first),
        "last": _iso(record.last),
        "number": record.number if record.first is not None else None,
    }
    return {
        "id": f"{record.execution}.{record.mark}.{record.status}",
        "job": record.job,
        "execution": record.execution,
        "attempt": record.attempt,
        "status": record.status.value,
        "due": _iso(record.due),
        "at": _iso(record.ended_at or record.due),
        "revision": revision,
        "reason": record.reason,
        "error": record.error,
        "handler": record.handler,
        "queue": record.queue,
        "replica": record.replica,
        "manual": record.manual,
        **{name: value for name, value in optional.items() if value is not None},
    }


def is_overtaken(notice: Notice, records: Iterable[Record]) -> bool:
    """Whether something newer is known of the execution than what the notice tells."""
    return any(revision_of(record) > notice.revision for record in records)


def delay_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts to send."""
    return min(FIRST_DELAY * (1 << min(max(attempts - 1, 0), 20)), LONGEST_DELAY)


def signature(secret: str, body: bytes, seconds: int) -> str:
    """Sign a body: HMAC-SHA256 over the time of sending (seconds since 1970), a dot and the body."""
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def encode_body(notice: Notice) -> bytes:
    """Write what is sent."""
    return json.dumps(notice.body, separators=(",", ":")).encode()


def encode_notice(notice: Notice) -> bytes:
    """Write what is stored until it is sent."""
    stored = {"v": NOTICE_VERSION, "url": notice.url, "secret": notice.secret, "body": notice.body}
    return json.dumps(stored, separators=(",", ":")).encode()


def decode_notice(data: bytes) -> Notice:
    """Read what is stored; whatever else it may be is a DocumentError."""
    try:
        stored = json.loads(data)
        if stored["v"] != NOTICE_VERSION:
            raise DocumentError(field="v", reason=f"version {stored['v']!r} is not one this natsched reads")
        body, secret = dict(stored["body"]), stored["secret"]
        at = datetime.fromisoformat(body["at"])
        if at.utcoffset() is None:
            raise DocumentError(field="at", reason=f"{body['at']!r} has no time zone")
        return Notice(
            url=str(stored["url"]),
            secret=None if secret is None else str(secret),
            id=str(body["id"]),
            job=str(body["job"]),
            execution=str(body["execution"]),
            revision=int(body["revision"]),
            at=at,
            body=body,
        )
    except DocumentError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DocumentError(field="notice", reason=f"not a notice of natsched: {type(error).__name__}") from error


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
