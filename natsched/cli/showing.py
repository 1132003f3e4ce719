"""Jobs and records for people."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from natsched.cli.measures import distance, instant, seconds_of, span
from natsched.cli.output import Cells
from natsched.client.views import JobView
from natsched.clock import SystemClock
from natsched.core.backoff import RetryPolicy
from natsched.core.executions import Record
from natsched.core.schedules import Cron, Interval, Schedule, describe
from natsched.core.targets import describe_target
from natsched.core.upcoming import Upcoming
from natsched.core.webhooks import Webhook

_JOB_COLUMNS: Final = ("ID", "STATE", "NEXT RUN", "SCHEDULE", "LAST", "RUNS", "RUNNING", "HANDLER", "QUEUE")
_RECORD_COLUMNS: Final = ("DUE", "JOB", "EXECUTION", "STATUS", "WHY", "LAG", "DURATION", "ATTEMPT", "REPLICA")
_SHOWN: Final = 30


def job_rows(views: Sequence[JobView]) -> tuple[Cells, Iterable[Cells]]:
    """Return the columns and rows of a table of jobs."""
    rows = [
        (
            view.id,
            view.state,
            instant(view.next_run) if view.next_run or not view.reason else _short(view.reason),
            describe(view.schedule),
            view.last.status.value if view.last else "-",
            str(view.runs),
            str(len(view.running)),
            view.handler or (view.target.kind if view.target else "-"),
            view.queue,
        )
        for view in views
    ]
    return _JOB_COLUMNS, rows


def record_rows(records: Sequence[Record]) -> tuple[Cells, Iterable[Cells]]:
    """Return the columns and rows of a table of executions."""
    rows = [
        (
            instant(record.due),
            record.job,
            record.execution,
            record.status.value,
            why(record) or "-",
            span(record.lag),
            span(record.duration),
            str(record.attempt) if record.attempt else "-",
            record.replica or "-",
        )
        for record in records
    ]
    return _RECORD_COLUMNS, rows


def record_line(record: Record) -> str:
    """Return a record as one line, as `execution watch` shows it."""
    at = instant(record.ended_at or record.due)
    told = why(record)
    parts = (at, record.job, record.execution, record.status.value, f"in {span(record.duration)}", told)
    return "  ".join(part for part in parts if part and not part.endswith("in -"))


def log_lines(record: Record) -> Iterable[str]:
    """Yield what was logged in an attempt, as `execution logs` shows it."""
    if record.logs is None:
        return
    yield f"attempt {record.attempt}, {record.status} {instant(record.ended_at)}"
    if record.logs.cut:
        yield f"  ({record.logs.cut:,} older lines were more than is kept)"
    for line in record.logs.lines:
        fields = dict(line.fields)
        exception = fields.pop("exception", None)
        told = (f"{name}={value if isinstance(value, str) else _json(value)}" for name, value in fields.items())
        yield "  ".join((f"  {instant(line.at)}", f"{line.level:<8}", " ".join((line.text, *told))))
        if isinstance(exception, str):
            yield from (f"    {part}" for part in exception.splitlines())


def upcoming_rows(found: Sequence[Upcoming]) -> tuple[Cells, Iterable[Cells]]:
    """Return the columns and rows of instants to come."""
    now = SystemClock().now()
    rows = [
        (instant(one.start), f"{one.due:%a %Y-%m-%d %H:%M:%S %Z}", distance(one.start, now), one.note or "")
        for one in found
    ]
    return ("START (UTC)", "LOCAL", "IN", "CLOCKS"), rows


def job_details(view: JobView) -> Iterable[tuple[str, str]]:
    """Yield what there is to know of a job, by name."""
    spec, status = view.document.spec, view.document.status
    yield "id", view.id
    yield "state", view.state
    yield "reason", view.reason or ""
    yield "paused until", instant(view.paused_until)
    yield "schedule", describe(view.schedule)
    yield from _refinements(view.schedule)
    yield "next run", _when(view.next_run) if view.next_run else ""
    yield "running", "\n".join(view.running)
    yield "retrying", "\n".join(f"{key}, attempt {it.attempt} {_when(it.at)}" for key, it in status.retries.items())
    yield (
        "asked by hand",
        "\n".join(f"{key}{f' for {instant(it.due)}' if it.due else ''}" for key, it in status.manual.items()),
    )
    if view.target is None:
        yield "handler", view.handler or "(the default one)"
    else:
        yield "target", describe_target(view.target)
    yield "queue", view.queue
    yield "payload", "" if view.payload is None else _json(view.payload)
    yield "metadata", _json(dict(view.metadata)) if view.metadata else ""
    yield "timeout", seconds_of(spec.timeout)
    if spec.deadline is not None:
        yield "deadline", f"{seconds_of(spec.deadline)} after the due"
    if spec.retry is not None:
        yield "retry", _retry(spec.retry)
    yield "pauses after", f"{spec.auto_pause_after} failures in a row" if spec.auto_pause_after else ""
    yield "overlap", spec.overlap
    yield "runs on", "the primary replica" if spec.primary_only else f"{spec.scope} of the replicas"
    yield "one at a time of", spec.concurrency_key or ""
    yield "priority", spec.priority
    yield "runs before", ", ".join(status.followers)
    yield "delivery", spec.delivery
    yield "catch up", f"all, at most {spec.catch_up_limit}" if spec.catch_up == "all" else spec.catch_up
    if spec.catch_up_window is not None:
        yield "catch up window", seconds_of(spec.catch_up_window)
    yield "tolerance", seconds_of(spec.tolerance)
    yield "history", spec.history
    yield "webhook", _webhook(spec.webhook) if spec.webhook else ""
    yield "owner", spec.owner or ""
    yield "max crashes", str(spec.max_crashes)
    yield "generation", str(view.generation)
    yield "runs", str(view.runs)
    yield "ended", ", ".join(f"{number} {name}" for name, number in view.counts.items())
    if view.last is not None:
        yield "last run", f"{instant(view.last.started_at or view.last.due)}, {view.last.status}"
        yield "last error", view.last.error or ""


def record_details(record: Record) -> Iterable[tuple[str, str]]:
    """Yield what a record tells, by name."""
    yield "job", record.job
    by_hand = record.manual and record.cause is None  # the link of a chain is asked for in the same way
    yield "execution", f"{record.execution}{' (by hand)' if by_hand else ''}"
    yield "attempt", str(record.attempt) if record.attempt else "-"
    yield "status", record.status.value
    yield "due", instant(record.due)
    if record.number > 1:
        least = "" if record.exact else "at least "
        yield "instants", f"{least}{record.number}, {instant(record.first)} to {instant(record.last)}"
    yield "started", instant(record.started_at)
    yield "ended", instant(record.ended_at)
    yield "lag", span(record.lag)
    yield "duration", span(record.duration)
    yield "handler", record.handler or "-"
    yield "queue", record.queue
    yield "replica", record.replica or "-"
    yield "generation", str(record.generation)
    yield "metadata", _json(dict(record.metadata)) if record.metadata else ""
    yield "reason", record.reason or ""
    if record.check_in is not None:
        data = "" if record.check_in.data is None else f" {_json(record.check_in.data)}"
        yield "said last", f"{instant(record.check_in.at)} {record.check_in.text}{data}"
    if record.cause is not None:
        yield "runs after", f"{record.cause.job} {record.cause.execution}, {record.cause.status}"
    yield "result", "" if record.result is None else _json(record.result)
    yield "error", record.error or ""
    yield "traceback", (record.traceback or "").rstrip()
    yield "hooks", "\n".join(f"{name}: {error}" for name, error in (record.hooks or {}).items())


def outcome(said: str, view: JobView) -> str:
    """Return what came of ensuring or submitting a job: `created billing.daily: next run ...`."""
    return f"{said} {view.id}: {next_run(view)}"


def next_run(view: JobView) -> str:
    """Return when the job runs next, or why it does not."""
    if view.next_run is None:
        return f"{view.state}{f' ({view.reason})' if view.reason else ''}, no next run"
    return f"next run {_when(view.next_run)}"


def why(record: Record) -> str:
    """Return the reason or error of a record, and how many instants it tells of."""
    text = record.error or record.reason or (record.check_in.text if record.check_in else "")
    many = f"{record.number} instants" if record.number > 1 else ""
    return ", ".join(part for part in (many, text) if part)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _retry(policy: RetryPolicy) -> str:
    times = f" times {policy.factor:g}" if policy.backoff == "exponential" else ""
    only = f", only on {', '.join(policy.retry_on)}" if policy.retry_on else ""
    delay = f"{seconds_of(policy.base)}{times}, at most {seconds_of(policy.max_delay)}"
    return f"up to {policy.max_attempts} attempts, {delay} apart{only}"


def _webhook(webhook: Webhook) -> str:
    statuses = f" of {', '.join(webhook.statuses)}" if webhook.statuses else ""
    return f"{webhook.url}{statuses}{f', signed with {webhook.secret}' if webhook.secret else ''}"


def _when(due: datetime) -> str:
    return f"{instant(due)} ({distance(due, SystemClock().now())})"


def _refinements(schedule: Schedule) -> Iterable[tuple[str, str]]:
    yield "from", instant(schedule.start_at)
    yield "until", instant(schedule.end_at)
    yield "max runs", str(schedule.max_runs or "")
    yield "jitter", seconds_of(schedule.jitter)
    if isinstance(schedule, Cron):
        yield "skipped hour", schedule.skipped or ""
        yield "repeated hour", schedule.repeated or ""
    if isinstance(schedule, Interval) and schedule.fixed_delay:
        yield "fixed delay", "yes"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
