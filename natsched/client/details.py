"""What there is to know of a job or a record, by name, in the words that people read."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from natsched.client.measures import instant, seconds_of, span, when
from natsched.client.views import JobView
from natsched.core.backoff import RetryPolicy
from natsched.core.executions import Logs, Record
from natsched.core.schedules import Cron, Interval, Schedule, describe
from natsched.core.targets import describe_target
from natsched.core.webhooks import Webhook

_SOON: Final = timedelta(seconds=10)
_WAITS: Final = "for a replica that serves its queue, has its handler and a place free: `natsched doctor` looks why"


def job_details(view: JobView, now: datetime) -> Iterable[tuple[str, str]]:
    """Yield what there is to know of a job, by name."""
    spec, status = view.document.spec, view.document.status
    yield "id", view.id
    yield "state", view.state
    yield "reason", view.reason or ""
    yield "paused until", instant(view.paused_until)
    yield "schedule", describe(view.schedule)
    yield from _refinements(view.schedule)
    yield "next run", when(view.next_run, now) if view.next_run else ""
    yield "waits", _WAITS if _is_late(view, now) else ""
    yield "running", "\n".join(view.running)
    yield (
        "retrying",
        "\n".join(f"{key}, attempt {it.attempt} {when(it.at, now)}" for key, it in status.retries.items()),
    )
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


def _is_late(view: JobView, now: datetime) -> bool:
    """Whether nobody begins what is due; replicas that are there need moments."""
    due = (view.next_run, *(asked.at for asked in view.document.status.manual.values()))
    is_idle = view.state == "active" and not view.running
    return is_idle and any(at is not None and at < now - _SOON for at in due)


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


def logged(logs: Logs) -> Iterable[str]:
    """Yield what was logged in an attempt, the oldest first."""
    if logs.cut:
        yield f"({logs.cut:,} older lines were more than is kept)"
    for line in logs.lines:
        fields = dict(line.fields)
        exception = fields.pop("exception", None)
        told = (f"{name}={value if isinstance(value, str) else _json(value)}" for name, value in fields.items())
        yield "  ".join((instant(line.at), f"{line.level:<8}", " ".join((line.text, *told))))
        if isinstance(exception, str):
            yield from (f"  {part}" for part in exception.splitlines())


def why(record: Record) -> str:
    """Return the reason or error of a record, and how many instants it tells of."""
    text = record.error or record.reason or (record.check_in.text if record.check_in else "")
    many = f"{record.number} instants" if record.number > 1 else ""
    return ", ".join(part for part in (many, text) if part)


def _retry(policy: RetryPolicy) -> str:
    times = f" times {policy.factor:g}" if policy.backoff == "exponential" else ""
    only = f", only on {', '.join(policy.retry_on)}" if policy.retry_on else ""
    delay = f"{seconds_of(policy.base)}{times}, at most {seconds_of(policy.max_delay)}"
    return f"up to {policy.max_attempts} attempts, {delay} apart{only}"


def _webhook(webhook: Webhook) -> str:
    statuses = f" of {', '.join(webhook.statuses)}" if webhook.statuses else ""
    return f"{webhook.url}{statuses}{f', signed with {webhook.secret}' if webhook.secret else ''}"


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
