"""Jobs written in a TOML file, one `[[job]]` table each, as the keywords of `Client.ensure_job`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue, ValidationError

from natsched.config.durations import Duration, lasting
from natsched.config.fields import Count, Name, Section, Text
from natsched.config.problems import Problem, failure, invalid_values, unknown_key
from natsched.config.render import shipped
from natsched.config.sources import Layer, Origins, read_toml
from natsched.config.webhooks import JobWebhook
from natsched.core.backoff import MAX_ATTEMPTS, Backoff
from natsched.core.chains import After, Ending
from natsched.core.ids import job_id
from natsched.core.jobs import MAX_RUNNING, CatchUp, DeliveryMode, HistoryMode, Overlap, Priority, Scope
from natsched.core.schedules import Cron, Interval, Once, Schedule
from natsched.core.specs import OPTIONS, JobOptions, make_spec
from natsched.errors import InvalidJob, ScheduleError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Mapping[str, frozenset[str]] = {
    "cron": frozenset({"timezone", "skipped", "repeated"}),
    "every": frozenset({"fixed_delay"}),
    "at": frozenset(),
    "after": frozenset({"on"}),
}


def _id(value: str) -> str:
    try:
        return job_id(value)
    except InvalidJob as error:
        raise ValueError(error.message.removeprefix("id: ")) from error


def _instant(value: object) -> object:
    """Let no bare number through, which pydantic would take for seconds since 1970."""
    if not isinstance(value, datetime | str) or (isinstance(value, str) and "-" not in value.strip()[1:]):
        raise ValueError("should be an instant, such as 2026-12-01T08:00:00Z")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]


class ScheduleTable(Section):
    """When a job runs: one of `cron`, `every`, `at` and `after`, and what refines it."""

    cron: Text | None = None
    timezone: Text | None = None
    skipped: Literal["next", "skip"] | None = None
    repeated: Literal["first", "second", "both"] | None = None
    every: Annotated[Duration, lasting("100ms", "3650d")] | None = None
    fixed_delay: bool = False
    at: Instant | None = None
    after: tuple[Text, ...] | None = None
    on: Ending | None = None
    start_at: Instant | None = None
    end_at: Instant | None = None
    max_runs: Annotated[Count, Field(ge=1)] | None = None
    jitter: Duration | None = None


class RetryTable(Section):
    """How a failed execution is tried again, in a table `[job.retry]`."""

    max_attempts: Annotated[Count, Field(ge=1, le=MAX_ATTEMPTS)] = 3
    backoff: Backoff = "exponential"
    base: Annotated[Duration, lasting("0s", "365d")] = timedelta(seconds=1)
    factor: Annotated[float, Field(ge=1, le=1000)] = 2.0
    max_delay: Annotated[Duration, lasting("0s", "365d")] = timedelta(hours=1)
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    retry_on: tuple[str, ...] = ()
    reset_on_success: bool = True


class ShellTable(Section):
    """A command, in a table `[job.target]`."""

    kind: Literal["shell"]
    argv: tuple[str, ...]
    shell: bool = False
    env: dict[str, str] = Field(default_factory=dict)
    cwd: Text | None = None
    grace: Annotated[Duration, lasting("0s", "1h")] = timedelta(seconds=5)


class HttpTable(Section):
    """An HTTP request, in a table `[job.target]`."""

    kind: Literal["http"]
    url: Text
    method: Text = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonValue = None
    expect: tuple[int, ...] = ()


class NatsTable(Section):
    """A request to a worker over NATS, in a table `[job.target]`."""

    kind: Literal["nats"]
    subject: Text
    headers: dict[str, str] = Field(default_factory=dict)
    heartbeat: Annotated[Duration, lasting("100ms", "1d")] | None = None


class PublishTable(Section):
    """A message to a stream, in a table `[job.target]`."""

    kind: Literal["publish"]
    subject: Text
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonValue = None


TargetTable: TypeAlias = ShellTable | HttpTable | NatsTable | PublishTable


class JobTable(ScheduleTable):
    """One job; its schedule's keys may stand in it, or in a table of their own called `schedule`."""

    id: Annotated[str, AfterValidator(_id)]
    schedule: ScheduleTable = ScheduleTable()
    handler: Text | None = None
    target: Annotated[TargetTable | None, Field(discriminator="kind")] = None
    queue: Name = "default"
    payload: JsonValue = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    timeout: Annotated[Duration, lasting("1ms", "365d")] | None = None
    deadline: Annotated[Duration, lasting("1ms", "365d")] | None = None
    tolerance: Annotated[Duration, lasting("0s", "365d")] | None = None
    overlap: Overlap = "skip"
    max_concurrency: Annotated[Count, Field(ge=1, le=MAX_RUNNING)] | None = None
    concurrency_key: Text | None = None
    scope: Scope = "one"
    primary_only: bool = False
    priority: Priority = "normal"
    delivery: DeliveryMode = "at_least_once"
    catch_up: CatchUp = "latest"
    catch_up_limit: Annotated[Count, Field(ge=1)] | None = None
    catch_up_window: Annotated[Duration, lasting("1ms", "365d")] | None = None
    history: HistoryMode = "all"
    max_crashes: Annotated[Count, Field(ge=0)] | None = None
    retry: RetryTable | None = None
    auto_pause_after: Annotated[Count, Field(ge=1)] | None = None
    webhook: JobWebhook | None = None


class JobsFile(Section):
    """The top of the file."""

    job: tuple[JobTable, ...] = ()


def load_jobs(path: Path) -> list[dict[str, Any]]:
    """Load a file of jobs; each has `id`, `schedule` and only those other keywords that the file gives.

    Raise ConfigError with all that is wrong, each problem with its job and its key.
    """
    values = read_toml(path)
    return read_jobs(values, f"The jobs in {path} are not valid:", Layer(values=values, label=str(path)))


def read_jobs(
    values: Mapping[str, Any], headline: str = "The jobs are not valid:", *layers: Layer
) -> list[dict[str, Any]]:
    """Return the jobs of what such a file holds, as `load_jobs` does."""
    tables = values.get("job", [])
    strangers = [key for key in values if key != "job"]
    problems = [problem for key in strangers for problem in unknown_key((key,), JobsFile, Origins(layers=layers))]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(Problem(path="job", reason="write each job as a table [[job]]"))
        tables = []
    jobs: dict[str, dict[str, Any]] = {}
    for number, table in enumerate(tables, start=1):
        try:
            job = _job(table)
            if job["id"] in jobs:
                raise InvalidJob("another job of this file has it: ids must differ", field="id")
            jobs[job["id"]] = job
        except (ValidationError, ScheduleError, InvalidJob) as error:
            found = _problems(error)
            problems.extend(replace(problem, path=_place(number, table, problem.path)) for problem in found)
    if problems:
        raise failure(headline, problems)
    return list(jobs.values())


def read_job(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return one job given as a table, as `load_jobs` does; the ConfigError carries its `problems`."""
    try:
        return _job(table)
    except (ValidationError, ScheduleError, InvalidJob) as error:
        raise failure("The job is not valid:", _problems(error)) from None


def sample_jobs() -> Path:
    """Return the file of the sample jobs that `natsched dev` runs."""
    return shipped("jobs.toml")


def _job(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that the table gives, and no defaults, which are the client's."""
    job = JobTable.model_validate(table)
    given = {name: getattr(job, name) for name in OPTIONS if name in job.model_fields_set}
    if job.retry is not None:
        given["retry"] = _keys(job.retry)
    if job.webhook is not None:
        given["webhook"] = _keys(job.webhook)
    if job.target is not None:
        given["target"] = {"kind": job.target.kind, **_keys(job.target)}
    schedule = _schedule(job)
    make_spec(schedule, anchor=_EPOCH, **cast("JobOptions", given))
    return {"id": job.id, "schedule": schedule, **given}


def _keys(table: Section) -> dict[str, Any]:
    """Return what a table gives, with durations in seconds, as the core has them."""
    given = ((name, getattr(table, name)) for name in table.model_fields_set)
    return {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in given}


def _problems(error: ValidationError | ScheduleError | InvalidJob) -> Iterable[Problem]:
    if isinstance(error, ValidationError):
        return invalid_values(error, JobTable, Origins(layers=()))
    if isinstance(error, InvalidJob):
        path = (error.field or "job").replace("schedule.jobs", "after", 1)
        return [Problem(path=path, reason=error.message.removeprefix(f"{error.field}: "))]
    return [Problem(path="schedule", reason=error.message)]


def _schedule(job: JobTable) -> Schedule:
    """Return the schedule that the job's keys, or those of its `schedule` table, describe."""
    beside = job.model_fields_set & ScheduleTable.model_fields.keys()
    within = job.schedule.model_fields_set
    if beside and within:
        raise ScheduleError(f"{_listed(sorted(beside))} stands beside the table: put all of it on one side")
    table: ScheduleTable = job.schedule if within else job
    given = {name: getattr(table, name) for name in ScheduleTable.model_fields if name in (within or beside)}
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        found = f"{_listed(kinds)} are given" if kinds else "nothing says when the job runs"
        raise ScheduleError(
            f'{found}: give one of cron = "0 3 * * *", every = "10s", at = 2026-12-01T08:00:00Z or after = ["job"]'
        )
    for other, own in _KINDS.items():
        if other != kinds[0] and own & given.keys():
            raise ScheduleError(f"{_listed(sorted(own & given.keys()))} goes with {other}, not with {kinds[0]}")
    value = given.pop(kinds[0])
    match kinds[0]:
        case "cron":
            return Cron(value, **given)
        case "every":
            return Interval(period=value, **given)
        case "after":
            if unfit := given.keys() - {"on"}:
                raise ScheduleError(f"{_listed(sorted(unfit))} does not go with after: leave it out")
            return After(*value, **given)
        case _:
            return Once(value, **given)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _place(number: int, table: Mapping[str, Any], path: str) -> str:
    name = table.get("id")
    return f"job {number} {json.dumps(name)}, {path}" if isinstance(name, str) else f"job {number}, {path}"
