"""The life of an execution, as one table, and the record it leaves.

    stateDiagram-v2        (see `chart`)

Every transition is in `TRANSITIONS`; a pair that is not there is illegal.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from natsched.core.zones import EPOCH

STORED: Final = ConfigDict(extra="forbid", ser_json_timedelta="float", allow_inf_nan=False)
"""How stored values are read and written: an unknown field is an error, a duration is seconds."""


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Refuse numbers that JSON cannot write, which would be null when the document is written next."""
    left = [value]
    while left:
        match left.pop():
            case float() as number if not math.isfinite(number):
                raise PydanticCustomError("json", "it is not JSON: it has {number}", {"number": number})
            case dict() as inner:
                left += inner.values()
            case list() as inner:
                left += inner
    return value


Json: TypeAlias = Annotated[JsonValue, AfterValidator(_finite)]
"""Any JSON within a stored value."""

UNLESS_EMPTY: Final = Field(exclude_if=operator.not_)
"""For a field that is younger than version 1: a replica that does not know it reads documents that do not use it."""


class ExecutionStatus(StrEnum):
    """Where an execution is; those of `FINAL` stay."""

    PLANNED = "planned"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    RETRYING = "retrying"
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    DEAD = "dead"
    SKIPPED = "skipped"
    COALESCED = "coalesced"
    MISSED = "missed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    PAUSED = "paused"


class Event(StrEnum):
    """What can happen to an execution."""

    CLAIM = "claim"
    SUCCEED = "succeed"
    FAIL = "fail"
    EXCEED_TIMEOUT = "exceed timeout"
    FAIL_FOR_NOW = "fail, another attempt follows"
    FAIL_FOR_GOOD = "fail, no attempt is left"
    CANCEL = "cancel"
    SHUT_DOWN = "shut down"
    HOLDER_DIED = "holder died"
    HOLDER_DIED_AT_MOST_ONCE = "holder died, at most once"
    CRASH_TOO_OFTEN = "crash too often"
    OVERLAP = "overlap"
    CATCH_UP_ONE = "catch up: one for all"
    TOO_LATE = "too late"
    PLAN_REPLACED = "plan replaced"
    EXPIRE = "deadline passed"
    JOB_PAUSED = "job paused"
    RETRY_BY_HAND = "retried by hand"


S, E = ExecutionStatus, Event
TRANSITIONS: Final[Mapping[ExecutionStatus, Mapping[Event, ExecutionStatus]]] = {
    S.PLANNED: {
        E.CLAIM: S.RUNNING,
        E.OVERLAP: S.SKIPPED,
        E.CATCH_UP_ONE: S.COALESCED,
        E.TOO_LATE: S.MISSED,
        E.PLAN_REPLACED: S.SUPERSEDED,
        E.EXPIRE: S.EXPIRED,
        E.JOB_PAUSED: S.PAUSED,
        E.CANCEL: S.CANCELLED,
    },
    S.RUNNING: {
        E.SUCCEED: S.OK,
        E.FAIL: S.FAILED,
        E.EXCEED_TIMEOUT: S.TIMED_OUT,
        E.FAIL_FOR_NOW: S.RETRYING,
        E.FAIL_FOR_GOOD: S.DEAD,
        E.CANCEL: S.CANCELLED,
        E.SHUT_DOWN: S.INTERRUPTED,
        E.HOLDER_DIED: S.INTERRUPTED,
        E.HOLDER_DIED_AT_MOST_ONCE: S.LOST,
        E.CRASH_TOO_OFTEN: S.DEAD,
    },
    S.INTERRUPTED: {E.CLAIM: S.RUNNING, E.CANCEL: S.CANCELLED},
    S.RETRYING: {E.CLAIM: S.RUNNING, E.CANCEL: S.CANCELLED},
    S.FAILED: {E.RETRY_BY_HAND: S.RETRYING},
    S.TIMED_OUT: {E.RETRY_BY_HAND: S.RETRYING},
    S.CANCELLED: {E.RETRY_BY_HAND: S.RETRYING},
    S.LOST: {E.RETRY_BY_HAND: S.RETRYING},
    S.DEAD: {E.RETRY_BY_HAND: S.RETRYING},
}
FINAL: Final = frozenset(status for status in S if TRANSITIONS.get(status, {}).keys() <= {E.RETRY_BY_HAND})
FAILED_FOR_GOOD: Final = frozenset({S.FAILED, S.TIMED_OUT, S.LOST, S.DEAD})
DID_NOT_RUN: Final = frozenset({S.SKIPPED, S.COALESCED, S.MISSED, S.SUPERSEDED, S.EXPIRED, S.PAUSED})
FAILURES: Final = FAILED_FOR_GOOD | {S.CANCELLED, S.INTERRUPTED, S.RETRYING} | DID_NOT_RUN


def advance(status: ExecutionStatus, event: Event) -> ExecutionStatus:
    """Return the status after the event; an event that cannot happen there is a KeyError."""
    return TRANSITIONS[status][event]


def chart() -> str:
    """Draw the table as a mermaid state diagram."""
    lines = [f"    {a} --> {b}: {event}" for a, row in TRANSITIONS.items() for event, b in row.items()]
    ends = [f"    {status} --> [*]" for status in sorted(FINAL)]
    return "\n".join(["stateDiagram-v2", "    [*] --> planned", *lines, *ends])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The end of an execution, after which another one runs."""

    __pydantic_config__ = STORED

    job: str
    execution: str
    attempt: int
    status: ExecutionStatus
    at: AwareDatetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIn:
    """What a run said of how far it is, and when."""

    __pydantic_config__ = STORED

    text: str
    at: AwareDatetime
    data: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was logged in a run; `fields` is what was said besides the text."""

    __pydantic_config__ = STORED

    at: AwareDatetime
    level: str
    text: str
    logger: str | None = None
    fields: Annotated[Mapping[str, JsonValue], UNLESS_EMPTY] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The newest lines of a run, the oldest first; `cut` older ones were more than is kept."""

    __pydantic_config__ = STORED

    lines: tuple[Line, ...]
    cut: Annotated[int, UNLESS_EMPTY] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of one attempt of one execution, or of a run that did not happen (attempt 0).

    `number` instants from `first` to `last` are told by one record where a gap had many; `exact` is false
    where `number` is only a lower bound. `due` is the planned instant, `started_at` and `ended_at` are by the
    server's clock. `retry_at` is when the next attempt starts. `payload` is that of a run that was asked for by
    hand, where the run had one of its own. `result` is what the handler returned, or the target's answer; `check_in`
    what it said last while it ran; `cause` the end that it ran after. `hooks` are the errors of its hooks by their
    names, which are not the run's own; `logs` what was logged in it.
    """

    __pydantic_config__ = STORED

    v: Literal[1] = 1
    job: str
    execution: str
    attempt: int
    status: ExecutionStatus
    due: AwareDatetime
    uid: str
    generation: int
    handler: str | None = None
    queue: str = "default"
    replica: str | None = None
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    reason: str | None = None
    error: str | None = None
    traceback: str | None = None
    manual: bool = False
    metadata: Mapping[str, Json] | None = None
    first: AwareDatetime | None = None
    last: AwareDatetime | None = None
    number: int = 1
    exact: bool = True
    retry_at: AwareDatetime | None = None
    payload: Json = None
    result: Json = None
    check_in: CheckIn | None = None
    cause: Cause | None = None
    hooks: Mapping[str, str] | None = None
    logs: Logs | None = None

    @property
    def mark(self) -> str:
        """What tells it from the other records of its execution: the attempt, and what became of how many until when.

        A decision that leaves instants out may be lost to another write, and the next one leave out others.
        """
        if self.last is None:
            return str(self.attempt)
        last = (self.last - EPOCH) // timedelta(microseconds=1)
        return f"{self.attempt}-{last}-{self.number}-{self.status.value}"

    @property
    def did_not_run(self) -> bool:
        """Whether it tells of runs that did not happen, also of one that ended before it began."""
        if self.status in DID_NOT_RUN:
            return True
        return self.started_at is None and self.status in (ExecutionStatus.CANCELLED, ExecutionStatus.TIMED_OUT)

    @property
    def lag(self) -> float | None:
        """Seconds from due to start; a later attempt and a backfill have none: they do not start at the due."""
        if self.started_at is None or self.attempt > 1 or self.execution.startswith(f"{self.uid}-b"):
            return None
        return (self.started_at - self.due).total_seconds()

    @property
    def duration(self) -> float | None:
        """Seconds from start to end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()
