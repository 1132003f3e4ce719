"""Jobs and records for people."""

from collections.abc import Iterable, Sequence
from typing import Final

from natsched.cli.output import Cells
from natsched.client.details import logged, why
from natsched.client.measures import distance, instant, span, when
from natsched.client.views import JobView
from natsched.clock import SystemClock
from natsched.core.executions import Record
from natsched.core.schedules import describe
from natsched.core.upcoming import Upcoming

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
    if record.logs is not None:
        yield f"attempt {record.attempt}, {record.status} {instant(record.ended_at)}"
        yield from (f"  {line}" for line in logged(record.logs))


def upcoming_rows(found: Sequence[Upcoming]) -> tuple[Cells, Iterable[Cells]]:
    """Return the columns and rows of instants to come."""
    now = SystemClock().now()
    rows = [
        (instant(one.start), f"{one.due:%a %Y-%m-%d %H:%M:%S %Z}", distance(one.start, now), one.note or "")
        for one in found
    ]
    return ("START (UTC)", "LOCAL", "IN", "CLOCKS"), rows


def outcome(said: str, view: JobView) -> str:
    """Return what came of ensuring or submitting a job: `created billing.daily: next run ...`."""
    return f"{said} {view.id}: {next_run(view)}"


def next_run(view: JobView) -> str:
    """Return when the job runs next, or why it does not."""
    if view.next_run is None:
        return f"{view.state}{f' ({view.reason})' if view.reason else ''}, no next run"
    return f"next run {when(view.next_run, SystemClock().now())}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
