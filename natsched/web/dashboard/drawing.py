"""A job's history as two drawings: when it ran, and how long that took. Shapes alone; the words are in the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from natsched.client.details import why
from natsched.client.measures import instant, span
from natsched.core.executions import Record
from natsched.web.dashboard.wording import label, tone

WIDTH: Final = 1000.0
HEIGHT: Final = 100.0
_LEAST: Final = 4.0
_GAP: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One attempt: a rectangle, its tone, and what is said of it."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Bars in a field of `WIDTH` times `HEIGHT`, the words at its sides, and what it shows as a sentence."""

    bars: Sequence[Bar]
    left: str
    right: str
    top: str
    text: str
    line: float | None = None


def timeline(records: Sequence[Record], now: datetime) -> Drawing | None:
    """Draw when each attempt began and ended, from the oldest to now; what went wrong reaches further up."""
    if not records:
        return None
    begins = [record.started_at or record.due for record in records]
    first = min(begins)
    whole = max((now - first).total_seconds(), 1.0)
    bars = []
    for record, begin in zip(records, begins, strict=True):
        end = now if label(record) == "running" else record.ended_at or begin
        width = min(max((end - begin).total_seconds() / whole * WIDTH, _LEAST), WIDTH)
        x = min((begin - first).total_seconds() / whole * WIDTH, WIDTH - width)
        height = _TALL.get(tone(record), 50.0)
        bars.append(_bar(record, x=x, width=width, height=height))
    return Drawing(
        bars=sorted(bars, key=lambda bar: bar.height),
        left=instant(first),
        right="now",
        top="",
        text=f"The last {len(records)} attempts, from {instant(first)} to now: {_tally(records)}.",
    )


def durations(records: Sequence[Record]) -> Drawing | None:
    """Draw how long each attempt took that ran to an end, the oldest first, with a line at the median."""
    ran = [(record, record.duration) for record in reversed(records) if record.duration is not None]
    took = [seconds for _, seconds in ran if seconds is not None]
    if not took:
        return None
    longest, middle = max(*took, 1e-6), median(took)
    step = WIDTH / max(len(ran), 20)
    bars = [
        _bar(record, x=number * step, width=step * (1 - _GAP), height=max((seconds or 0) / longest * HEIGHT, 2.0))
        for number, (record, seconds) in enumerate(ran)
    ]
    return Drawing(
        bars=bars,
        left=instant(ran[0][0].started_at),
        right=instant(ran[-1][0].started_at),
        top=span(longest),
        text=f"{len(took)} attempts took {span(min(took))} to {span(longest)}, half of them {span(middle)} or less.",
        line=HEIGHT - middle / longest * HEIGHT,
    )


_TALL: Final = {"bad": 100.0, "busy": 70.0, "good": 50.0, "wait": 70.0, "miss": 25.0, "off": 35.0}


def _bar(record: Record, *, x: float, width: float, height: float) -> Bar:
    took = f" in {span(record.duration)}" if record.duration is not None else ""
    said = why(record)
    title = f"{instant(record.started_at or record.due)}: {label(record)}{took}{f', {said}' if said else ''}"
    return Bar(
        x=round(x, 2),
        y=round(HEIGHT - height, 2),
        width=round(width, 2),
        height=round(height, 2),
        tone=tone(record),
        title=title[:300],
    )


def _tally(records: Sequence[Record]) -> str:
    counts: dict[str, int] = {}
    for record in records:
        counts[label(record)] = counts.get(label(record), 0) + record.number
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items(), key=lambda item: -item[1]))
