"""From the keywords that a user writes to a checked `Spec`; a bad one is an `InvalidJob` that names the field."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, TypedDict, Unpack, get_type_hints

from pydantic import JsonValue, TypeAdapter, ValidationError

from natsched.core.backoff import LONGEST, MAX_ATTEMPTS, RetryPolicy
from natsched.core.chains import After
from natsched.core.ids import job_id, token
from natsched.core.jobs import (
    MAX_PAYLOAD,
    MAX_RUNNING,
    CatchUp,
    DeliveryMode,
    HistoryMode,
    Overlap,
    Priority,
    Scope,
    Spec,
)
from natsched.core.planning import History
from natsched.core.schedules import Cron, Interval, Once, Schedule
from natsched.core.targets import Http, Publish, Target
from natsched.core.targets import check as check_target
from natsched.core.webhooks import Webhook
from natsched.core.webhooks import check as check_webhook
from natsched.errors import InvalidJob

_NOT_ASKED: Final = frozenset({"schedule", *get_type_hints(History)})
MAX_DEPTH: Final = 100
OPTIONS: Final = tuple(item.name for item in fields(Spec) if item.name not in _NOT_ASKED)
_COUNTS: Final[tuple[tuple[str, int, int | None], ...]] = (
    ("catch_up_limit", 1, None),
    ("max_crashes", 0, None),
    ("auto_pause_after", 1, None),
    ("max_concurrency", 1, MAX_RUNNING),
)
_specs: Final = TypeAdapter(Spec)


class JobOptions(TypedDict, total=False):
    """What may be said of a job besides its id and schedule.

    `handler`: the name it is registered under. `target`: a `Shell`, `Http`, `NatsRequest` or `Publish` instead, or
    its fields. `queue`: the class of work it belongs to; of those that wait for a place there, the ones of higher
    `priority` go first. `scope` "all" has every replica of the queue run it, `primary_only` only the primary one.
    `payload`, `metadata`: JSON that the handler sees, 64 KiB together. `timeout`, `deadline`, `tolerance`,
    `catch_up_window`: seconds or a timedelta. `deadline`: how long after its due an execution is over, whether it
    began or not. `overlap`, `delivery`, `catch_up`, `history`: policies. `concurrency_key`: of the jobs that share
    it one runs at a time. `catch_up_limit`: how many missed runs `all` makes up for at most. `catch_up_window`: how
    old a missed run may be to be made up for. `max_crashes`: how many replicas may die on one execution before it
    is given up. `retry`: a `RetryPolicy` or its fields. `auto_pause_after`: how many executions in a row may fail
    for good before the job pauses itself. `webhook`: a URL, a `Webhook` or its fields, that is told of each status
    change. `owner`: who defines the job, in dotted tokens; `natsched apply --prune` removes only a file's own.
    """

    handler: str | None
    target: Target | Mapping[str, Any] | None
    queue: str
    payload: JsonValue
    metadata: Mapping[str, JsonValue]
    timeout: float | timedelta | None
    deadline: float | timedelta | None
    overlap: Overlap
    max_concurrency: int | None
    concurrency_key: str | None
    scope: Scope
    primary_only: bool
    priority: Priority
    delivery: DeliveryMode
    catch_up: CatchUp
    catch_up_limit: int
    catch_up_window: float | timedelta | None
    tolerance: float | timedelta
    history: HistoryMode
    max_crashes: int
    retry: RetryPolicy | Mapping[str, Any] | None
    auto_pause_after: int | None
    webhook: Webhook | Mapping[str, Any] | str | None
    owner: str | None


def make_spec(schedule: Schedule, *, anchor: datetime, **options: Unpack[JobOptions]) -> Spec:
    """Check what was asked for and return it as a spec."""
    if not isinstance(schedule, Cron | Interval | Once | After):
        raise InvalidJob(
            f"{schedule!r} is no schedule: take Cron('0 3 * * *'), Interval(hours=1), Once(instant) or After('job')",
            field="schedule",
        )
    if isinstance(schedule, After):
        for number, upstream in enumerate(schedule.jobs):
            _check_id(upstream, field=f"schedule.jobs.{number}")
    values: dict[str, Any] = dict(options)
    for name in values:
        if name not in OPTIONS:
            near = get_close_matches(name, OPTIONS, n=1)
            hint = f": did you mean `{near[0]}`?" if near else f": a job takes {', '.join(OPTIONS)}"
            raise InvalidJob(f"there is no such option{hint}", field=name)
    for name in ("timeout", "deadline", "tolerance", "catch_up_window"):
        if isinstance(values.get(name), timedelta):
            values[name] = values[name].total_seconds()
    if isinstance(values.get("target"), Target):
        values["target"] = {item.name: getattr(values["target"], item.name) for item in fields(values["target"])}
    if isinstance(values.get("webhook"), str):
        values["webhook"] = {"url": values["webhook"]}
    try:
        spec = _specs.validate_python({"schedule": schedule, "anchor": anchor, **values}, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise InvalidJob(first["msg"], field=".".join(str(part) for part in first["loc"])) from error
    _check(spec)
    if spec.webhook is not None:
        check_webhook(spec.webhook)
    return spec


def _check(spec: Spec) -> None:
    token(spec.queue, field="queue")
    if spec.handler is not None and not (spec.handler.strip() and spec.handler.isprintable()):
        raise InvalidJob(f"{spec.handler!r} names no handler: leave it out for the default one", field="handler")
    if spec.target is not None:
        _check_target(spec.target, spec.handler)
    _check_place(spec)
    if spec.timeout is not None and not 0 < spec.timeout < float("inf"):
        raise InvalidJob(f"{spec.timeout} s is no time limit: take more than 0, or None for none", field="timeout")
    if not 0 <= spec.tolerance < float("inf"):
        raise InvalidJob(f"{spec.tolerance} s is no tolerance: take 0 or more", field="tolerance")
    _check_age(spec)
    for name, fewest, most in _COUNTS:
        value = getattr(spec, name)
        if value is not None and value < fewest:
            raise InvalidJob(f"{value} is too few: take {fewest} or more", field=name)
        if value is not None and most is not None and value > most:
            raise InvalidJob(f"{value} is too many: take {most} at most", field=name)
    if spec.retry is not None:
        _check_retry(spec.retry)
        if spec.delivery == "at_most_once":
            raise InvalidJob(
                'a job of delivery "at_most_once" is not tried again: take one of the two', field="retry"
            )
    if spec.payload is not None or spec.metadata:
        check_payload({"payload": spec.payload, "metadata": dict(spec.metadata)}, field="payload")


def _check_target(target: Target, handler: str | None) -> None:
    if handler is not None:
        raise InvalidJob("it has a handler too: leave one of the two out", field="target")
    check_target(target)
    if isinstance(target, Http | Publish):
        check_json(target.body, field="target.body")


def _check_place(spec: Spec) -> None:
    """Check where it runs, beside what and whose it is; refuse what contradicts that every replica runs it."""
    if spec.owner is not None:
        _check_id(spec.owner, field="owner")
    if spec.concurrency_key is not None:
        _check_id(spec.concurrency_key, field="concurrency_key")
        if spec.primary_only:
            raise InvalidJob("only the primary replica is to run it: take one of the two", field="concurrency_key")
    if spec.scope != "all":
        return
    if spec.primary_only:
        raise InvalidJob("only the primary replica is to run it: take one of the two", field="scope")
    for name in ("max_concurrency", "concurrency_key"):
        if getattr(spec, name) is not None:
            raise InvalidJob('with scope "all" as many run at once as there are replicas: leave it out', field=name)


def _check_id(text: str, *, field: str) -> None:
    try:
        job_id(text)
    except InvalidJob as error:
        reason = error.message.removeprefix("id: ")
        if not field.startswith("schedule."):
            reason = reason.replace(
                "is no job id", "is no such key" if field == "concurrency_key" else "is no owner", 1
            )
        raise InvalidJob(reason, field=field) from None


def _check_age(spec: Spec) -> None:
    for name in ("deadline", "catch_up_window"):
        value: float | None = getattr(spec, name)
        if value is not None and not 0 < value <= LONGEST:
            raise InvalidJob(
                f"{value:g} s is out of range: take more than 0 and up to {LONGEST:.0f}, or None for none", field=name
            )
    jitter = spec.schedule.jitter
    if spec.deadline is not None and jitter is not None and jitter.total_seconds() >= spec.deadline:
        raise InvalidJob(
            f"{spec.deadline:g} s is no longer than the jitter of {jitter.total_seconds():g} s: a run may expire "
            "before it is to start; take more",
            field="deadline",
        )
    if spec.catch_up_window is not None and spec.catch_up == "none":
        raise InvalidJob(
            'nothing is made up for with catch_up "none", whose limit is the `tolerance`: leave it out, or take '
            '"latest", "earliest" or "all"',
            field="catch_up_window",
        )


def _check_retry(policy: RetryPolicy) -> None:
    limits = {
        "max_attempts": (1, MAX_ATTEMPTS),
        "base": (0, LONGEST),
        "factor": (1, 1000),
        "max_delay": (0, LONGEST),
        "jitter": (0, 1),
    }
    for name, (low, high) in limits.items():
        value = getattr(policy, name)
        if not low <= value <= high:
            raise InvalidJob(f"{value} is out of range: take {low} to {high:g}", field=f"retry.{name}")
    for index, name in enumerate(policy.retry_on):
        if not all(part.isidentifier() for part in name.split(".")):
            raise InvalidJob(
                f"{name!r} is neither the name of an exception nor `failed` or `timed_out`",
                field=f"retry.retry_on.{index}",
            )


def check_payload(value: object, *, field: str) -> None:
    """Check that a payload is JSON and not too large to travel in a job's document."""
    size = check_json(value, field=field)
    if size > MAX_PAYLOAD:
        raise InvalidJob(
            f"{size:,} bytes are too many: {MAX_PAYLOAD:,} at most; store the rest elsewhere and pass its key",
            field=field,
        )


def check_json(value: object, *, field: str) -> int:
    """Check that a value is JSON that can be stored and read again, and return how many bytes it has."""
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
        depth = depth_of(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(f"it is not JSON: {error}", field=field) from error
    if depth > MAX_DEPTH:
        raise InvalidJob(f"it is nested {depth} deep: {MAX_DEPTH} at most", field=field)
    return size


def depth_of(value: object) -> int:
    """Return how deep JSON is nested; what is stored deeper than `MAX_DEPTH` could not be read again."""
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    return 1 + max(map(depth_of, inner), default=0)
