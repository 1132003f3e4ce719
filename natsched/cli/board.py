"""The runs of `natsched dev`, a line each, and what they add up to."""

import sys
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from statistics import quantiles
from typing import Any, Final

from natsched.cli.output import STYLES, Output, clean, console, dumps
from natsched.client.forms import record_form
from natsched.client.measures import span, time_of_day
from natsched.clock import Clock
from natsched.core.executions import FAILURES, ExecutionStatus, Record
from natsched.daemon.events import Event, RunEnded, RunLeftOut, RunStarted

_LINES_A_SECOND: Final = 40
_KEPT_LAGS: Final = 100_000
_KEPT_STARTS: Final = 10_000
_FORMAT: Final = "{:<12}  {:<24}  {:<10}  {:>7}  {:>9}  {:>9}  "
_COLUMNS: Final = ("START (UTC)", "JOB", "RUN", "ATTEMPT", "LAG", "DURATION")


class Board:
    """Shows each run; beyond 40 lines a second it only counts them, so that showing does not delay them.

    `closed` is called when nobody reads any more.
    """

    def __init__(self, output: Output, clock: Clock, closed: Callable[[], None]) -> None:
        self._output = output
        self._clock = clock
        self._closed = closed
        self._console = console() if sys.stdout.isatty() and not output.json else None
        self._since: datetime = clock.now()
        self._started: dict[tuple[str, int], float] = {}
        self._lags: deque[float] = deque(maxlen=_KEPT_LAGS)
        self._counts: Counter[str] = Counter()
        self._second = 0
        self._lines = 0
        self._unshown = 0
        self._deaf = False

    def begin(self) -> None:
        """Count from now, and show the columns."""
        self._since = self._clock.now()
        if not self._output.json:
            self._write(_FORMAT.format(*_COLUMNS) + "STATUS", "bold")

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                if len(self._started) >= _KEPT_STARTS:
                    self._started.clear()
                self._started[event.execution, event.attempt] = event.lag
            case RunEnded(record=record):
                lag = self._started.pop((record.execution, record.attempt), record.lag)
                self._ended(record, lag)
            case RunLeftOut(record=record):
                self._counts[record.status] += record.number
                self._show(record, None)
            case _:
                pass

    def summary(self) -> dict[str, Any]:
        """Return what the runs add up to; lags in milliseconds, without those of runs that were made up for."""
        counts = self._counts
        lags = sorted(self._lags)
        cuts = quantiles(lags, n=100, method="inclusive") if len(lags) > 1 else lags * 99
        return {
            "runs": counts["runs"],
            "failed": counts["failures"],
            "missed": counts[ExecutionStatus.MISSED] + counts[ExecutionStatus.COALESCED],
            "skipped": counts[ExecutionStatus.SKIPPED],
            "lag_p50_ms": round(cuts[49] * 1000, 3) if cuts else None,
            "lag_p99_ms": round(cuts[98] * 1000, 3) if cuts else None,
        }

    def _ended(self, record: Record, lag: float | None) -> None:
        self._counts["runs"] += 1
        if record.status in FAILURES - {ExecutionStatus.INTERRUPTED}:
            self._counts["failures"] += 1
        if lag is not None and record.due >= self._since:
            self._lags.append(lag)
        self._show(record, lag)

    def _show(self, record: Record, lag: float | None) -> None:
        if self._output.json:
            self._write(dumps({"event": "run", **record_form(record)}))
            return
        if not self._has_room():
            return
        shown = record.started_at or record.due
        cells = (
            time_of_day(shown),
            record.job,
            short_run(record),
            str(record.attempt) if record.attempt else "-",
            span(lag),
            span(record.duration),
        )
        status = record.status.value.replace("_", " ")
        many = f" x{record.number}" if record.number > 1 else ""
        told = f"  {record.error or record.reason or ''}".rstrip()
        self._write(_FORMAT.format(*cells), "", f"{status}{many}", STYLES.get(record.status, ""), told)
        for line in (record.traceback or "").rstrip().split("\n"):
            if line:
                self._write(f"    {line}", "dim")

    def _has_room(self) -> bool:
        """Whether this second has room for another line; what the last one had no room for is told first."""
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
            if self._unshown:
                self._write(f"... and {self._unshown} more", "dim")
                self._unshown = 0
        self._lines += 1
        if self._lines > _LINES_A_SECOND:
            self._unshown += 1
            return False
        return True

    def _write(self, text: str, style: str = "", mark: str = "", mark_style: str = "", rest: str = "") -> None:
        if self._deaf:
            return
        try:
            if self._console is None:
                sys.stdout.write(clean(f"{text}{mark}{rest}") + "\n")
                sys.stdout.flush()
                return
            from rich.text import Text

            line = Text.assemble((clean(text), style), (mark, mark_style), (clean(rest), "dim"))
            self._console.print(line, soft_wrap=True)
        except BrokenPipeError:
            self._deaf = True
            self._closed()


def short_run(record: Record) -> str:
    """Return the part of an execution's id that tells it from others of its job: `#41`, `by hand`."""
    return "by hand" if record.manual else f"#{record.execution.rpartition('-')[2]}"
