"""The tables of a file of jobs: what each key may be, and the JSON Schema by which editors check them."""

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue

from natsched.config.durations import Duration, lasting
from natsched.config.fields import Count, Name, Section, Text, Tokens, schema_of
from natsched.config.webhooks import JobWebhook
from natsched.core.backoff import MAX_ATTEMPTS, Backoff
from natsched.core.chains import Ending
from natsched.core.ids import job_id
from natsched.core.jobs import MAX_RUNNING, CatchUp, DeliveryMode, HistoryMode, Overlap, Priority, Scope
from natsched.errors import InvalidJob


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


def _json_text(value: str) -> str:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON: write it as '{\"key\": null}'") from None
    return value


JsonText = Annotated[str, AfterValidator(_json_text)]
"""JSON as text, for what TOML cannot say: null."""

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
    body_json: JsonText | None = None
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
    body_json: JsonText | None = None


TargetTable: TypeAlias = ShellTable | HttpTable | NatsTable | PublishTable


class JobTable(ScheduleTable):
    """One job; its schedule's keys may stand in it, or in a table of their own called `schedule`."""

    id: Annotated[str, AfterValidator(_id)]
    schedule: ScheduleTable = ScheduleTable()
    handler: Text | None = None
    target: Annotated[TargetTable | None, Field(discriminator="kind")] = None
    queue: Name = "default"
    payload: JsonValue = None
    payload_json: JsonText | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    metadata_json: JsonText | None = None
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
    owner: Tokens | None = None


class JobsFile(Section):
    """A file of jobs. Its `owner` is that of each job in it that names none."""

    owner: Tokens | None = None
    job: tuple[JobTable, ...] = ()


def jobs_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of jobs, for editors: `#:schema` in its first line names it."""
    schema = schema_of(JobsFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
