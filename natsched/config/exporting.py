"""Jobs as a file: the TOML that `load_file` reads as the same jobs, with only what differs from the defaults."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any, Final, cast

import tomli_w

from natsched.config.durations import format_duration
from natsched.config.jobs import read_job
from natsched.core.applying import differences
from natsched.core.backoff import RetryPolicy
from natsched.core.chains import After
from natsched.core.jobs import Job, Spec
from natsched.core.schedules import Cron, Interval, Once, Schedule
from natsched.core.specs import OPTIONS, JobOptions, make_spec
from natsched.core.targets import Http, NatsRequest, Publish, Shell
from natsched.core.webhooks import Webhook
from natsched.core.zones import EPOCH
from natsched.errors import ConfigError, InvalidJob, ScheduleError

_DURATIONS: Final = frozenset(
    {"timeout", "deadline", "tolerance", "catch_up_window", "base", "max_delay", "grace", "heartbeat"}
)
_WHOLE: Final[Mapping[type, str]] = {Cron: "cron", Interval: "every", Once: "at", After: "after"}
_FIRST: Final[Mapping[type, str]] = {Cron: "expression", Interval: "period", Once: "at", After: "jobs"}


def dump_jobs(jobs: Iterable[Job], *, head: str = "") -> tuple[str, list[str]]:
    """Return jobs as a file, by id, and what it cannot say of them: who could not be written, who is paused.

    Each job is read back, so that the file makes the very same job.
    """
    tables, told = [], []
    for job in sorted(jobs, key=lambda job: job.id):
        problem = _problem(table := job_table(job), job.spec)
        if problem is not None:
            told.append(f"{job.id} cannot be written in a file: {problem}")
            continue
        tables.append(table)
        if not job.spec.active:
            told.append(f"{job.id} is paused, which a file does not say")
    return dump_tables(tables, head=head), told


def dump_tables(tables: Iterable[Mapping[str, Any]], *, head: str = "", owner: str | None = None) -> str:
    """Return the tables of jobs as the text of a file, under comment lines."""
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    top: dict[str, Any] = {"owner": owner} if owner is not None else {}
    body = tomli_w.dumps({**top, "job": list(tables)} if tables else top, multiline_strings=False)
    return "\n".join([*lines, *([""] if lines else []), body])


def job_table(job: Job) -> dict[str, Any]:
    """Return the table of a job."""
    table: dict[str, Any] = {"id": str(job.id), **_schedule(job.spec.schedule)}
    for item in fields(Spec):
        value = getattr(job.spec, item.name)
        if item.name not in OPTIONS or value == _default(item):
            continue
        match value:
            case RetryPolicy() | Webhook():
                table[item.name] = _given(value)
            case Shell() | Http() | NatsRequest() | Publish():
                table[item.name] = {"kind": value.kind, **_given(value)}
            case _:
                table.update(_entry(item.name, value))
    return table


def _schedule(schedule: Schedule) -> dict[str, Any]:
    key, first = _WHOLE[type(schedule)], _FIRST[type(schedule)]
    whole = getattr(schedule, first)
    table: dict[str, Any] = {key: _plain(whole)}
    for item in fields(schedule):
        value = getattr(schedule, item.name)
        if item.name not in (first, "kind") and value != _default(item):
            table[item.name] = _plain(value)
    return table


def _given(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass of the core
    """Return the fields of a part of a job that are not at their defaults."""
    table: dict[str, Any] = {}
    for item in fields(value):
        given = getattr(value, item.name)
        if item.name != "kind" and given != _default(item):
            table.update(_entry(item.name, given))
    return table


def _entry(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of JSON
    """Return a key with its value, as JSON text where TOML cannot say it."""
    if name in ("payload", "metadata", "body") and _has_null(value):
        return {f"{name}_json": json.dumps(value, ensure_ascii=False, allow_nan=False)}
    if name in _DURATIONS and isinstance(value, float | int):
        exact = timedelta(seconds=value)
        return {name: format_duration(exact) if exact.total_seconds() == value else value}
    return {name: _plain(value)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a spec
    match value:
        case timedelta():
            return format_duration(value)
        case tuple() | list():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case str():
            return str(value)
        case _:
            return value


def _default(item: Any) -> Any:  # noqa: ANN401 - a field of a dataclass
    if item.default_factory is not MISSING:
        return item.default_factory()
    return None if item.default is MISSING else item.default


def _has_null(value: Any) -> bool:  # noqa: ANN401 - any value of JSON
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    return value is None or (isinstance(value, list | tuple) and any(map(_has_null, value)))


def _problem(table: Mapping[str, Any], spec: Spec) -> str | None:
    """Read a table back and say why it does not give the same job, if so."""
    try:
        options = read_job(tomllib.loads(tomli_w.dumps(table)))
        schedule = options.pop("schedule")
        del options["id"]
        again = make_spec(schedule, anchor=EPOCH, **cast("JobOptions", options))
    except (ConfigError, InvalidJob, ScheduleError) as error:
        problems = error.details.get("problems") if isinstance(error, ConfigError) else None
        return "; ".join(map(str, problems)) if problems else error.message
    except ValueError as error:
        return str(error)
    apart = differences(spec, again)
    return ", ".join(difference.field for difference in apart) or None
