"""Instants, delays and lags as people read them; instants are shown in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final

_DAY: Final = 86_400
_STEPS: Final = ((_DAY, "d"), (3600, "h"), (60, "m"), (1, "s"))


def instant(value: datetime | None) -> str:
    """Return `2026-11-22 02:00:00Z`, with milliseconds where there are any."""
    if value is None:
        return "-"
    text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{value.microsecond // 1000:03d}Z" if value.microsecond >= 1000 else f"{text}Z"


def time_of_day(value: datetime) -> str:
    """Return `02:00:00.000`, in UTC."""
    utc = value.astimezone(UTC)
    return f"{utc:%H:%M:%S}.{utc.microsecond // 1000:03d}"


def distance(value: datetime, now: datetime) -> str:
    """Return how far away an instant is: `in 3h 20m`, `5s ago`, `now`."""
    seconds = (value - now).total_seconds()
    text = _rounded(abs(seconds))
    if text == "0s":
        return "now"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def when(value: datetime, now: datetime) -> str:
    """Return an instant and how far away it is."""
    return f"{instant(value)} ({distance(value, now)})"


def span(seconds: float | None) -> str:
    """Return a duration or lag at the precision that its size deserves: `0.42 ms`, `12 ms`, `1.50 s`, `3m 20s`."""
    if seconds is None:
        return "-"
    size = abs(seconds)
    if size < 0.01:
        return f"{seconds * 1000:.2f} ms"
    if size < 1:
        return f"{seconds * 1000:.0f} ms"
    if size < 100:
        return f"{seconds:.2f} s"
    return f"{'-' if seconds < 0 else ''}{_rounded(size)}"


def seconds_of(value: timedelta | float | None) -> str:
    """Return a setting of a job in seconds: `30 s`."""
    if value is None:
        return "-"
    return f"{value.total_seconds() if isinstance(value, timedelta) else value:g} s"


def _rounded(seconds: float) -> str:
    """Return the two largest units."""
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in _STEPS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number}{unit}" for number, unit in parts[:2] if number) or "0s"
