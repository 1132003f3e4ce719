"""Errors as JSON: `{"error": {"code", "message", "field"}}`, each with its status of HTTP."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from natsched.config import Problem
from natsched.errors import (
    BackendError,
    ConfigError,
    Conflict,
    InvalidJob,
    JobExists,
    JobNotFound,
    NatschedError,
    PermissionDenied,
    ScheduleError,
    TooManyEntries,
    Unavailable,
)
from natsched.logs import get_logger

_KINDS: Final[tuple[tuple[type[BaseException], int, str], ...]] = (
    (JobNotFound, 404, "not_found"),
    (JobExists, 409, "exists"),
    (TooManyEntries, 409, "full"),
    (InvalidJob, 422, "invalid"),
    (ScheduleError, 422, "invalid"),
    (ConfigError, 422, "invalid"),
    (Conflict, 409, "conflict"),
    (ClientDisconnect, 400, "bad_request"),
    (Unavailable, 503, "unavailable"),
    (TimeoutError, 503, "timeout"),
    (PermissionDenied, 502, "denied_by_nats"),
    (BackendError, 502, "backend"),
)
CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected",
    429: "too_many",
}

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

log = get_logger(__name__)


class Refused(Exception):
    """A request that is not answered as asked, whoever the scheduler is."""

    def __init__(self, status: int, message: str, field: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(body, status, {**_HEADERS, **(headers or {})}, "application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of an error to who asked, in whatever form."""

    status: int
    code: str
    message: str
    field: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def judge(error: Exception) -> Verdict:
    """Return what is said of an error; one that nobody foresaw is told in the log alone."""
    if isinstance(error, Refused):
        code = CODES[error.status]
        return Verdict(
            status=error.status, code=code, message=error.message, field=error.field, headers=error.headers
        )
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code, "failed")
        return Verdict(status=error.status_code, code=code, message=error.detail, headers=dict(error.headers or {}))
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            again = {"Retry-After": "1"} if status == 503 else {}
            return Verdict(status=status, code=code, message=_message(error), field=_field(error), headers=again)
    log.error("a request failed", action="http_failed", exc_info=error)
    return Verdict(status=500, code="internal", message="This is a fault of natsched: its log says more.")


def failure(error: Exception) -> Response:
    """Return an error as JSON."""
    said = judge(error)
    value = {"code": said.code, "message": said.message, "field": said.field or None}
    return answer({"error": value}, said.status, dict(said.headers))


async def handle(_: Request, error: Exception) -> Response:
    """Answer an error that a route raised."""
    return failure(error)


def _message(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "It took too long and was given up; it may or may not have been done. Trying again helps."
    if isinstance(error, InvalidJob) and error.field:
        return error.message.removeprefix(f"{error.field}: ")
    return error.message if isinstance(error, NatschedError) else str(error)


def _field(error: Any) -> str:  # noqa: ANN401 - whatever error
    if isinstance(error, InvalidJob):
        return error.field.replace("schedule.jobs", "after", 1)  # as it is written in a table
    if isinstance(error, ScheduleError):
        return "schedule"
    problems = error.details.get("problems", ()) if isinstance(error, ConfigError) else ()
    return problems[0].path if problems and isinstance(problems[0], Problem) else ""
