"""Schedules: when a job is due. Values alone: no clock is read and nothing is stored.

Functions take aware datetimes of any zone and return UTC, exact to the microsecond. `anchor` is the instant
of a job's creation, `salt` its id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Literal, TypeAlias, get_args

from natsched.core.chains import After
from natsched.core.cron import compiled
from natsched.core.zones import DAY, END, EPOCH, Repeated, Skipped, Timeline, load_zone
from natsched.errors import ScheduleError

MICROSECOND = timedelta(microseconds=1)
SHORTEST_PERIOD = timedelta(milliseconds=100)
LONGEST_PERIOD = timedelta(days=40_000)  # seconds are stored as a float: it is exact to the microsecond so far
SECOND = 1_000_000  # microseconds
LAST = END * SECOND - 1  # in microseconds since 1970; no schedule goes further
_END = timedelta(microseconds=LAST)


@dataclass(frozen=True, slots=True, init=False)
class Cron:
    """Wall times: 5 fields, 6 (second first), 7 (second first, year last), or `@daily` and its family.

    Fields take lists, ranges, steps and names; day-of-month also `L`, `LW`, `15W`; day-of-week also
    `MON#2`, `5L`; all but the year also `H`, `H/15`, `H(0-29)`, hashed from the job's id so that jobs
    spread. If neither day-of-month nor day-of-week starts with `*`, a day need match only one of them, as
    in classic cron.

    `skipped` and `repeated` tell what to do when the zone's clock jumps. By default a job whose hour,
    minute or second starts with `*` or is a hashed step keeps its rhythm: it runs whenever its wall time
    shows (skip, both). Any other runs once: all that is skipped together at the first instant after (next),
    what is repeated the first time (first).
    """

    expression: str
    timezone: str = "UTC"
    skipped: Skipped | None = None
    repeated: Repeated | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_runs: int | None = None
    jitter: timedelta | None = None
    kind: Literal["cron"] = "cron"

    def __init__(  # noqa: PLR0913
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        skipped: Skipped | None = None,
        repeated: Repeated | None = None,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        max_runs: int | None = None,
        jitter: timedelta | float | None = None,
        kind: Literal["cron"] = "cron",
    ) -> None:
        _fill(self, start_at=start_at, end_at=end_at, max_runs=max_runs, jitter=_jitter(jitter), kind=kind)
        _fill(self, expression=expression, timezone=timezone, skipped=skipped, repeated=repeated)
        self.__post_init__()

    def __post_init__(self) -> None:
        _fill(self, expression=" ".join(self.expression.split()))
        _check_limits(self)
        for name, allowed in (("skipped", get_args(Skipped)), ("repeated", get_args(Repeated))):
            if getattr(self, name) not in (None, *allowed):
                raise ScheduleError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(allowed)}")
        load_zone(self.timezone)
        compiled(self.expression)


@dataclass(frozen=True, slots=True, init=False)
class Interval:
    """Every period of at least 100 ms: `Interval(hours=1, minutes=30)` or `Interval(timedelta(minutes=90))`.

    Due at exactly start_at + k * period, from k = 0; without `start_at` at creation + k * period, from k = 1.
    With `fixed_delay` only the first run is: each later one is due a period after the end of the one before.
    """

    period: timedelta
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_runs: int | None = None
    jitter: timedelta | None = None
    fixed_delay: bool = False
    kind: Literal["interval"] = "interval"

    def __init__(  # noqa: PLR0913
        self,
        period: timedelta | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        max_runs: int | None = None,
        jitter: timedelta | float | None = None,
        fixed_delay: bool = False,
        kind: Literal["interval"] = "interval",
    ) -> None:
        units = (days, seconds, 0, milliseconds, minutes, hours, weeks)
        if (period is None) is not any(units):
            raise ScheduleError("period: give either a timedelta or units, as in Interval(hours=1)")
        _fill(self, start_at=start_at, end_at=end_at, max_runs=max_runs, jitter=_jitter(jitter), kind=kind)
        _fill(self, period=period or _timedelta("period", *units), fixed_delay=fixed_delay)
        self.__post_init__()

    def __post_init__(self) -> None:
        _check_limits(self)
        if self.period < SHORTEST_PERIOD:
            raise ScheduleError(f"period: {self.period.total_seconds():g} s is too short; 0.1 s is the least")
        if self.period > LONGEST_PERIOD:
            raise ScheduleError(f"period: is too long; {LONGEST_PERIOD.days:,} days are the most")
        if self.jitter is not None and self.jitter > self.period:
            raise ScheduleError("jitter: longer than the period; runs would change places")


@dataclass(frozen=True, slots=True, init=False)
class Once:
    """A single instant, within the window where one is given."""

    at: datetime
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_runs: int | None = None
    jitter: timedelta | None = None
    kind: Literal["once"] = "once"

    def __init__(
        self,
        at: datetime,
        *,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        max_runs: int | None = None,
        jitter: timedelta | float | None = None,
        kind: Literal["once"] = "once",
    ) -> None:
        _fill(self, at=at, kind=kind)
        _fill(self, start_at=start_at, end_at=end_at, max_runs=max_runs, jitter=_jitter(jitter))
        self.__post_init__()

    def __post_init__(self) -> None:
        _fill(self, at=_utc("at", self.at))
        _check_limits(self)
        if (self.start_at and self.at < self.start_at) or (self.end_at and self.at > self.end_at):
            raise ScheduleError("at: outside of start_at and end_at, it would never fire")


Schedule: TypeAlias = Cron | Interval | Once | After


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The instants from `first` to `last`; `number` counts them, or a part of them where not `exact`."""

    first: datetime
    last: datetime
    number: int
    exact: bool = True


def next_due(schedule: Schedule, after: datetime, *, anchor: datetime, salt: str) -> datetime | None:
    """Find the first instant strictly after `after`; None where none is left. Knows nothing of `max_runs`."""
    if isinstance(schedule, Interval):
        return _next_of(schedule, after, anchor)
    if isinstance(schedule, After):
        return None
    least = _micros(after) + 1
    if schedule.start_at is not None:
        least = max(least, _micros(schedule.start_at))
    match schedule:
        case Cron():
            second = _timeline(schedule, salt).next(-(-least // SECOND) - 1)
            due = None if second is None else second * SECOND
        case Once():
            due = _micros(schedule.at)
    last = LAST if schedule.end_at is None else min(LAST, _micros(schedule.end_at))
    return EPOCH + timedelta(microseconds=due) if due is not None and least <= due <= last else None


def gap(schedule: Schedule, first: datetime, until: datetime, *, anchor: datetime, salt: str) -> Gap:
    """Tell the instants from `first`, which counts as one in any case, to the last not after `until`.

    The number is exact for all schedules and counted without visiting each instant, so a year of seconds
    costs no more than a day of hours. A fixed delay has no instant but the first.
    """
    if schedule.end_at is not None:
        until = min(until, schedule.end_at)
    low, high = _micros(first), _micros(until)
    match schedule:
        case Cron():
            timeline = _timeline(schedule, salt)
            last = timeline.last(low // SECOND, high // SECOND)
            if last is not None:
                number = 1 + timeline.count(low // SECOND + 1, last)
                return Gap(first=first, last=EPOCH + timedelta(seconds=last), number=number)
        case Interval(fixed_delay=False):
            further = max(0, (high - low) // (schedule.period // MICROSECOND))
            return Gap(first=first, last=first + further * schedule.period, number=1 + further)
    return Gap(first=first, last=first, number=1)


def instants(schedule: Schedule, after: datetime, *, anchor: datetime, salt: str) -> Iterator[datetime]:
    """Yield all instants after `after`, maybe without end."""
    due = next_due(schedule, after, anchor=anchor, salt=salt)
    while due is not None:
        yield due
        due = next_due(schedule, due, anchor=anchor, salt=salt)


def jitter_of(schedule: Schedule, due: datetime, *, uid: str) -> timedelta:
    """Delay of the run due then, uniform in [0, jitter): the same on all replicas."""
    if not schedule.jitter:
        return timedelta()
    digest = blake2b(f"{uid} {_micros(due)}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) * (schedule.jitter // MICROSECOND) >> 64) * MICROSECOND


def describe(schedule: Schedule) -> str:
    """Short text for tables: `cron 0 3 * * * Europe/Berlin`, `every 1h30m`, `once 2026-11-22 02:00:00Z`."""
    match schedule:
        case Cron():
            return f"cron {schedule.expression} {schedule.timezone}"
        case Interval():
            return f"every {_short(schedule.period)}{' after each end' if schedule.fixed_delay else ''}"
        case Once():
            return f"once {schedule.at.replace(tzinfo=None).isoformat(' ')}Z"
        case After(jobs=(), on=_):
            return "by hand"
        case After(jobs=jobs, on=on):
            return f"after {', '.join(jobs)}{'' if on == 'success' else f' ({on})'}"


def _timeline(cron: Cron, salt: str) -> Timeline:
    pattern = compiled(cron.expression)
    if pattern.hashed:
        pattern = compiled(cron.expression, salt)
    skipped = cron.skipped or ("skip" if pattern.rhythm else "next")
    repeated = cron.repeated or ("both" if pattern.rhythm else "first")
    return Timeline(pattern, cron.timezone, skipped, repeated)


def _next_of(interval: Interval, after: datetime, anchor: datetime) -> datetime | None:
    period = min(interval.period, 2 * _END)  # what is longer comes to the same, and could not be added
    first = anchor - EPOCH + period if interval.start_at is None else interval.start_at - EPOCH
    due = first + max(0, (after - EPOCH - first) // period + 1) * period
    last = _END if interval.end_at is None else min(_END, interval.end_at - EPOCH)
    return EPOCH + due if due <= last else None


def _fill(schedule: Cron | Interval | Once, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(schedule, name, value)


def _check_limits(schedule: Cron | Interval | Once) -> None:
    """Check what all schedules share, and write it in one way, so that equal schedules compare equal."""
    start_at, end_at = _utc("start_at", schedule.start_at), _utc("end_at", schedule.end_at)
    _fill(schedule, start_at=start_at, end_at=end_at, jitter=schedule.jitter or None)
    if start_at and end_at and start_at > end_at:
        raise ScheduleError("end_at: lies before start_at, it would never fire")
    if schedule.max_runs is not None and schedule.max_runs < 1:
        raise ScheduleError(f"max_runs: {schedule.max_runs} is too few; 1 is the least, None is no limit")
    if schedule.jitter and schedule.jitter < timedelta():
        raise ScheduleError("jitter: is negative; it can only delay a run")
    if schedule.jitter and schedule.jitter > LONGEST_PERIOD:
        raise ScheduleError(f"jitter: is too long; {LONGEST_PERIOD.days:,} days are the most")


def _utc(name: str, instant: datetime | None) -> datetime | None:
    if instant is None:
        return None
    if instant.utcoffset() is None:
        raise ScheduleError(f"{name}: {instant} has no time zone; add one, as in datetime(..., tzinfo=UTC)")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ScheduleError(f"{name}: {instant} is out of range") from None


def _timedelta(name: str, *units: float) -> timedelta:
    try:
        return timedelta(*units)
    except (OverflowError, ValueError):
        raise ScheduleError(f"{name}: out of range") from None


def _jitter(value: timedelta | float | None) -> timedelta | None:
    return _timedelta("jitter", 0, value) if isinstance(value, float | int) else value


def _micros(instant: datetime) -> int:
    since = instant - EPOCH
    return (since.days * DAY + since.seconds) * SECOND + since.microseconds


def _short(period: timedelta) -> str:
    """`1d2h`, `1s500ms`."""
    text, rest = "", period // MICROSECOND
    units = {"d": DAY * SECOND, "h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1000, "us": 1}
    for unit, size in units.items():
        number, rest = divmod(rest, size)
        text += f"{number}{unit}" if number else ""
    return text
