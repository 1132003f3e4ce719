"""A job on the command line: when it runs and what it does, as options, checked as in a file of jobs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, get_args

import typer

from natsched.config import parse_duration, read_job
from natsched.core.chains import Ending
from natsched.core.jobs import CatchUp, DeliveryMode, HistoryMode, Overlap, Priority, Scope
from natsched.core.zones import Repeated, Skipped
from natsched.errors import ConfigError, InvalidJob

_WHEN: Final = "When it runs (one of --cron, --every, --at, --after)"
_WHAT: Final = "What it does"
_HOW: Final = "How it is treated"

_LIKE_TARGET: Final = """write it like '{"kind": "shell", "argv": ["ls"]}'"""
_LIKE_RETRY: Final = """write a number of attempts, or it like '{"max_attempts": 5, "base": "10s"}'"""
_LIKE_WEBHOOK: Final = """write a URL, or it like '{"url": "https://host/hook", "statuses": ["dead"]}'"""


def _option(name: str, metavar: str, text: str, panel: str) -> Any:  # noqa: ANN401 - typer's own type
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)


def _choice(name: str, values: object, text: str, panel: str) -> Any:  # noqa: ANN401 - typer's own type
    names = [str(value) for value in get_args(values)]
    return typer.Option(name, metavar="|".join(names), help=text, rich_help_panel=panel, autocompletion=lambda: names)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a job runs."""

    cron: Annotated[
        str | None, _option("--cron", "EXPR", 'Wall times, such as "0 3 * * *" or @daily; 5 to 7 fields.', _WHEN)
    ] = None
    every: Annotated[str | None, _option("--every", "10s", "A period from 100ms.", _WHEN)] = None
    at: Annotated[str | None, _option("--at", "INSTANT", "Once, such as 2026-12-01T08:00:00Z.", _WHEN)] = None
    after: Annotated[
        list[str] | None, _option("--after", "JOB", "When an execution of that job ended; may be repeated.", _WHEN)
    ] = None
    on: Annotated[str | None, _choice("--on", Ending, "For --after: how it ended.", _WHEN)] = None
    timezone: Annotated[str | None, _option("--timezone", "ZONE", "For --cron, such as Europe/Berlin.", _WHEN)] = None
    skipped: Annotated[str | None, _choice("--skipped", Skipped, "For --cron: the hour DST leaves out.", _WHEN)] = (
        None
    )
    repeated: Annotated[str | None, _choice("--repeated", Repeated, "For --cron: the hour DST repeats.", _WHEN)] = (
        None
    )
    fixed_delay: Annotated[
        bool, typer.Option("--fixed-delay", help="For --every: count from each end.", rich_help_panel=_WHEN)
    ] = False
    start_at: Annotated[str | None, _option("--start-at", "INSTANT", "Not before.", _WHEN)] = None
    end_at: Annotated[str | None, _option("--end-at", "INSTANT", "Not after.", _WHEN)] = None
    max_runs: Annotated[int | None, _option("--max-runs", "N", "So many runs at most.", _WHEN)] = None
    jitter: Annotated[str | None, _option("--jitter", "30s", "Delay each run by up to this.", _WHEN)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """What a job does, and how it is treated; what is not given takes its default, also in an update."""

    handler: Annotated[
        str | None, _option("--handler", "NAME", "The handler; the app's default one if left out.", _WHAT)
    ] = None
    target: Annotated[
        str | None,
        _option(
            "--target", "JSON", 'Instead: {"kind": "shell", "argv": ["ls"]}, or "http", "nats", "publish".', _WHAT
        ),
    ] = None
    queue: Annotated[str | None, _option("--queue", "NAME", "The class of work.", _WHAT)] = None
    payload: Annotated[str | None, _option("--payload", "JSON", "What the handler is given.", _WHAT)] = None
    metadata: Annotated[list[str] | None, _option("--metadata", "KEY=TEXT", "Labels; may be repeated.", _WHAT)] = None
    timeout: Annotated[str | None, _option("--timeout", "30s", "How long a run may take.", _WHAT)] = None
    deadline: Annotated[str | None, _option("--deadline", "10m", "Over by so long after its due.", _WHAT)] = None
    overlap: Annotated[str | None, _choice("--overlap", Overlap, "When the last run still goes on.", _HOW)] = None
    max_concurrency: Annotated[
        int | None, _option("--max-concurrency", "N", "How many runs at once, in the whole cluster.", _HOW)
    ] = None
    concurrency_key: Annotated[
        str | None, _option("--concurrency-key", "KEY", "Of the jobs with this key one runs at a time.", _HOW)
    ] = None
    scope: Annotated[str | None, _choice("--scope", Scope, "One replica runs it, or every one.", _HOW)] = None
    primary_only: Annotated[
        bool, typer.Option("--primary-only", help="Only the primary replica runs it.", rich_help_panel=_HOW)
    ] = False
    priority: Annotated[str | None, _choice("--priority", Priority, "Which go first where many wait.", _HOW)] = None
    delivery: Annotated[str | None, _choice("--delivery", DeliveryMode, "When a replica dies in a run.", _HOW)] = None
    catch_up: Annotated[str | None, _choice("--catch-up", CatchUp, "Which missed runs are made up for.", _HOW)] = None
    catch_up_limit: Annotated[int | None, _option("--catch-up-limit", "N", "How many of them, with all.", _HOW)] = (
        None
    )
    catch_up_window: Annotated[
        str | None, _option("--catch-up-window", "12h", "How old a missed run may be for that.", _HOW)
    ] = None
    tolerance: Annotated[str | None, _option("--tolerance", "60s", "Later than this is missed.", _HOW)] = None
    history: Annotated[str | None, _choice("--history", HistoryMode, "Which records are kept.", _HOW)] = None
    max_crashes: Annotated[
        int | None, _option("--max-crashes", "N", "How many replicas may die on one run.", _HOW)
    ] = None
    retry: Annotated[
        str | None, _option("--retry", "N|JSON", 'So many attempts, or {"max_attempts": 5, "base": "10s"}.', _HOW)
    ] = None
    auto_pause_after: Annotated[
        int | None, _option("--auto-pause-after", "N", "Pause after so many failures in a row.", _HOW)
    ] = None
    webhook: Annotated[
        str | None,
        _option("--webhook", "URL|JSON", 'Told of each status: a URL, or {"url": ..., "statuses": ...}.', _HOW),
    ] = None
    owner: Annotated[str | None, _option("--owner", "NAME", "Who defines it, as a file's `owner` says.", _HOW)] = None


def definition(job: str, when: When, what: What) -> dict[str, Any]:
    """Return the keywords of `Client.ensure_job`, or raise InvalidJob with what is wrong and the option it is at."""
    table: dict[str, Any] = {"id": job, **_given(when), **_given(what)}
    if what.payload is not None:
        table["payload"] = json_value(what.payload, field="--payload")
    if what.target is not None:
        table["target"] = json_value(what.target, field="--target", cure=_LIKE_TARGET)
    if what.webhook is not None and what.webhook.lstrip().startswith("{"):
        table["webhook"] = json_value(what.webhook, field="--webhook", cure=_LIKE_WEBHOOK)
    if what.retry is not None:
        policy = json_value(what.retry, field="--retry", cure=_LIKE_RETRY)
        table["retry"] = {"max_attempts": policy} if isinstance(policy, int) else policy
    if what.metadata is not None:
        table["metadata"] = labels(what.metadata)
    try:
        return read_job(table)
    except ConfigError as error:
        raise InvalidJob(
            "; ".join(_told(problem.path, problem.reason) for problem in error.details["problems"])
        ) from None


@contextmanager
def as_options(names: Mapping[str, str]) -> Iterator[None]:
    """Name the option where the client names its keyword."""
    try:
        yield
    except InvalidJob as error:
        for keyword, option in names.items():
            if error.field == keyword or error.field.startswith(f"{keyword}."):
                raise InvalidJob(error.message.removeprefix(f"{error.field}: "), field=option) from None
        raise


def json_value(text: str, *, field: str, cure: str = """text needs quotes, as in '"text"'""") -> Any:  # noqa: ANN401
    """Return the JSON that the text is."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "it cannot be stored"
        raise InvalidJob(f"is no JSON ({reason}): {cure}", field=field) from None
    return value


def labels(items: Sequence[str]) -> Mapping[str, str]:
    """Return what KEY=TEXT items say."""
    said = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise InvalidJob(f"{item!r} is no label: write it like team=core", field="--metadata")
        said[name] = text
    return said


def instant_of(text: str, *, field: str) -> datetime:
    """Return the instant that the text names, which has to have an offset."""
    try:
        schedule = read_job({"id": "any", "at": text})["schedule"]
    except ConfigError as error:
        raise InvalidJob(str(error.details["problems"][0].reason), field=field) from None
    found: datetime = schedule.at
    return found


def duration_of(text: str, *, field: str) -> timedelta:
    """Return the duration that the text names."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidJob(str(error), field=field) from None


def _given(options: When | What) -> dict[str, Any]:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _told(path: str, reason: str) -> str:
    """Name the option instead of the key."""
    if path == "schedule":
        return (
            reason.replace('cron = "0 3 * * *"', '--cron "0 3 * * *"')
            .replace('every = "10s"', "--every 10s")
            .replace("at = 2026", "--at 2026")
            .replace('after = ["job"]', "--after JOB")
        )
    key, dot, rest = path.partition(".")
    if key == "after":
        dot = rest = ""
    return f"{'' if path in {'id', 'job'} else '--'}{key.replace('_', '-')}{dot}{rest}: {reason}"
