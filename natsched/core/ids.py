"""Ids: what a job may be called, and ULIDs for what must be new."""

import re
from datetime import UTC, datetime
from typing import Final

from natsched.core.jobs import ExecutionId, JobId
from natsched.errors import InvalidJob

MAX_ID: Final = 200
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOKENS: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [first + second for first in _CROCKFORD for second in _CROCKFORD]


def job_id(text: object) -> JobId:
    """Check a job's id: dot-separated tokens of `[A-Za-z0-9_-]`, so that it is a subject and a key as it is."""
    if not isinstance(text, str):
        raise InvalidJob(f"a job's id is text, not {type(text).__name__}", field="id")
    if not text:
        raise InvalidJob("a job needs an id, such as `billing.invoices.daily`", field="id")
    if len(text) > MAX_ID:
        raise InvalidJob(f"{len(text)} characters are too many: {MAX_ID} at most", field="id")
    for token in text.split("."):
        if not _TOKEN.fullmatch(token):
            raise InvalidJob(
                f"{text!r} is no job id: use letters, digits, `_` and `-`, in parts joined by single dots "
                "(`billing.invoices.daily`)",
                field="id",
            )
    return JobId(text)


def is_job_id(text: str) -> bool:
    """Whether a job may be called so; `job_id` says why not."""
    return len(text) <= MAX_ID and _TOKENS.fullmatch(text) is not None


def is_token(text: str) -> bool:
    """Whether a text is one token of a subject, such as the id of an execution."""
    return _TOKEN.fullmatch(text) is not None


def token(text: object, *, field: str) -> str:
    """Check a name that becomes one token of a subject, such as a queue's."""
    if not isinstance(text, str) or not _TOKEN.fullmatch(text) or len(text) > MAX_ID:
        raise InvalidJob(f"{text!r} is no name: use letters, digits, `_` and `-`", field=field)
    return text


def ulid(now: datetime, random: int) -> str:
    """Make a ULID of an instant and 80 random bits (https://github.com/ulid/spec)."""
    value = (int(now.timestamp() * 1000) << 80) | (random & ((1 << 80) - 1))
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def base_of(execution: ExecutionId) -> str:
    """Return what the parts of one execution, of a job that every replica runs, have in common."""
    return "-".join(execution.split("-", 2)[:2])


def manual_execution(uid: str, new: str) -> ExecutionId:
    """Name an execution that was asked for by hand."""
    return ExecutionId(f"{uid}-m{new}")


def backfill_execution(uid: str, due: datetime) -> ExecutionId:
    """Name the execution of an instant that is made up for on demand: the same however often it is asked for."""
    due = due.astimezone(UTC)
    return ExecutionId(f"{uid}-b{due.year:04}{due:%m%dT%H%M%S%fZ}")
