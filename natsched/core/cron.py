"""Cron expressions: from text to a set of wall times, which `zones` turns into instants.

croniter reads the values (numbers, names, ranges, steps, hashes), one item at a time. What it lacks or reads
oddly is done here: `L`, `LW`, `15W`, `5L` and `MON#2` in any list, a range of one value (croniter takes `5-5`
for `*`), steps past the end of a field (`22-6/3`), and the search, in integers and without state.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from itertools import product, takewhile
from typing import NamedTuple

from croniter import CroniterError, croniter

from natsched.core.zones import DAY, EPOCH_ORDINAL
from natsched.errors import ScheduleError

DaysOf = Callable[[int, int], Iterable[int]]
"""Days of a month, by the weekday of its first day (Sunday is 0) and its length."""


class Field(NamedTuple):
    """One field of an expression; `column` is its place in croniter's order."""

    name: str
    column: int
    low: int
    high: int
    allowed: str

    def refusal(self, item: str) -> ScheduleError:
        forms = "lists 1,2, ranges 1-5, steps */2, * or a hashed H, H(1-5), H/2 alone"
        return ScheduleError(f"{self.name}: {item!r} is not allowed; use {self.allowed}; {forms}")


FIELDS = (
    Field("second", 5, 0, 59, "0-59"),
    Field("minute", 0, 0, 59, "0-59"),
    Field("hour", 1, 0, 23, "0-23"),
    Field("day-of-month", 2, 1, 31, "1-31, L (last day), LW (last weekday), 15W (nearest weekday), ?"),
    Field("month", 3, 1, 12, "1-12 or JAN-DEC"),
    Field("day-of-week", 4, 0, 6, "0-7 or SUN-SAT (0, 7: Sunday), MON#2 (second one), 5L (last Friday), ?"),
    Field("year", 6, 1970, 2099, "1970-2099"),
)
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
LONGEST = 500  # characters of an expression
CYCLE = 400 * 366  # days after which the calendar has repeated, weekdays included
WORD = "[0-9]{1,4}|[a-z]{3}"
ITEM = re.compile(rf"(?:\*|(?P<low>{WORD})(?:-(?P<high>{WORD}))?)(?:/(?P<step>[1-9][0-9]{{0,3}}))?")
HASH = re.compile(r"h(\([0-9]{1,4}-[0-9]{1,4}\))?(/[1-9][0-9]{0,3})?")
NEAREST = re.compile(r"([0-9]{1,2})w")
WEEKDAY_IN_MONTH = re.compile(rf"(?P<day>{WORD})(?:(?P<last>l)|#(?P<nth>[1-5]))")


class MonthDays(dict[tuple[int, int], tuple[int, ...]]):
    """Matching days of a month by the weekday of its first day and its length, each worked out once."""

    def __init__(self, month_days: list[DaysOf], weekdays: list[DaysOf], *, either: bool) -> None:
        self.sides = (month_days, weekdays)
        self.either = either

    def __missing__(self, kind: tuple[int, int]) -> tuple[int, ...]:
        left, right = ({day for rule in side for day in rule(*kind) if day <= kind[1]} for side in self.sides)
        self[kind] = tuple(sorted(left | right if self.either else left & right))
        return self[kind]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """Set of wall times, in seconds since 1970 as if the wall were UTC.

    `times`: seconds of the day, in order. `daily`: every day matches. `rhythm`: hour, minute or second starts
    with `*` or is a hashed step. `hashed`: it depends on the salt.
    """

    times: "array[int]"
    days: MonthDays
    months: tuple[int, ...]
    years: Sequence[int]
    daily: bool
    rhythm: bool
    hashed: bool

    def next(self, wall: int) -> int | None:
        """First matching wall second at or after `wall`; None where the calendar has none."""
        today, second = divmod(wall, DAY)
        day = self._day(today)
        if day == today:
            at = bisect_left(self.times, second)
            if at < len(self.times):
                return day * DAY + self.times[at]
            day = self._day(today + 1)
        return None if day is None else day * DAY + self.times[0]

    def count(self, low: int, high: int) -> int:
        """How many wall seconds of [low, high) match, without visiting them."""
        (first, start), (last, stop) = divmod(low, DAY), divmod(high, DAY)
        number = len(self.times) * self._count_days(first, last)
        number -= bisect_left(self.times, start) if self._day(first) == first else 0
        number += bisect_left(self.times, stop) if self._day(last) == last else 0
        return number

    def _day(self, start: int) -> int | None:
        if self.daily:
            return start
        for first, days in self._months(start):
            at = bisect_left(days, start - first + 1)
            if at < len(days):
                return first + days[at] - 1
            if first > start + CYCLE:
                break
        return None

    def _count_days(self, low: int, high: int) -> int:
        if self.daily:
            return high - low
        months = takewhile(lambda month: month[0] < high, self._months(low))
        return sum(bisect_left(days, high - first + 1) - bisect_left(days, low - first + 1) for first, days in months)

    def _months(self, start: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Matching months from that of the day `start` on: the first day of each and its matching days."""
        today = date.fromordinal(start + EPOCH_ORDINAL)
        for year in self.years[bisect_left(self.years, today.year) :]:
            for month in self.months:
                if year > today.year or month >= today.month:
                    first = date(year, month, 1).toordinal()
                    length = date(year + month // 12, month % 12 + 1, 1).toordinal() - first
                    yield first - EPOCH_ORDINAL, self.days[first % 7, length]


@lru_cache(maxsize=4096)
def compiled(expression: str, salt: str = "") -> Pattern:
    """Parse an expression; ScheduleError names the field and what it allows.

    Dates that do not exist are no error where hashed: `0 0 31 H *` never fires for a salt that gives June.
    """
    try:
        pattern = _pattern(_split(expression), salt)
        if not pattern.hashed and pattern.next(0) is None:
            raise ScheduleError("no such date exists, it would never fire; check day-of-month against month")
    except ScheduleError as error:
        raise ScheduleError(f"cron {expression[:LONGEST]!r}: {error}") from None
    return pattern


def _split(expression: str) -> list[str]:
    """Seven texts, seconds first, in lower case."""
    if len(expression) > LONGEST:
        raise ScheduleError(f"longer than {LONGEST} characters")
    text = expression.strip().lower()
    if text.startswith("@") and text not in ALIASES:
        raise ScheduleError(f"there is no {text}; use {', '.join(ALIASES)}, or Interval for a period")
    fields = ALIASES.get(text, text).split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) == 6:
        fields.append("*")
    if len(fields) != len(FIELDS):
        names = " ".join(field.name for field in FIELDS[1:6])
        raise ScheduleError(f"use 5 fields ({names}), 6 (second first) or 7 (second first, year last)")
    for day in (3, 5):
        fields[day] = "*" if fields[day] == "?" else fields[day]
    return fields


def _pattern(texts: list[str], salt: str) -> Pattern:
    second, minute, hour, day, month, weekday, year = (
        _Text(field, text, salt) for field, text in zip(FIELDS, texts, strict=True)
    )
    times = [h * 3600 + m * 60 + s for h, m, s in product(hour.values(), minute.values(), second.values())]
    return Pattern(
        times=array("i", times),
        days=MonthDays(day.rules(), weekday.rules(), either=not (day.starred or weekday.starred)),
        months=month.values(),
        years=range(2, 9999) if year.text == "*" else year.values(),
        daily=all(part.text == "*" for part in (day, month, weekday, year)),
        rhythm=any(part.starred or part.hashed_step for part in (second, minute, hour)),
        hashed=any(text.startswith("h") for text in texts),
    )


class _Text(NamedTuple):
    """What stands in one field."""

    field: Field
    text: str
    salt: str

    @property
    def starred(self) -> bool:
        return self.text.startswith("*")

    @property
    def hashed_step(self) -> bool:
        return self.text.startswith("h") and "/" in self.text

    def values(self) -> tuple[int, ...]:
        if self.text.startswith("h"):
            return self._hashed()
        return tuple(sorted({value for item in self.text.split(",") for value in self._item(item)}))

    def rules(self) -> list[DaysOf]:
        """Days of any month that one of the items names."""
        if self.text.startswith("h"):
            return [self._plain(self._hashed())]
        special = self._month_day if self.field.name == "day-of-month" else self._weekday
        return [special(item) or self._plain(self._item(item)) for item in self.text.split(",")]

    def _plain(self, values: tuple[int, ...]) -> DaysOf:
        if self.field.name == "day-of-month":
            return lambda _, __: values
        return lambda first, length: (day for value in values for day in _weekdays(value, first, length))

    def _month_day(self, item: str) -> DaysOf | None:
        if item == "l":
            return lambda _, length: (length,)
        if item == "lw":
            return lambda first, length: (_nearest_weekday(length, first, length),)
        match = NEAREST.fullmatch(item)
        if match is None:
            return None
        (target,) = self._item(match[1])
        return lambda first, length: (_nearest_weekday(target, first, length),)

    def _weekday(self, item: str) -> DaysOf | None:
        match = WEEKDAY_IN_MONTH.fullmatch(item)
        if match is None:
            return None
        (value,) = self._item(match["day"])
        which = slice(-1, None) if match["last"] else slice(int(match["nth"]) - 1, int(match["nth"]))
        return lambda first, length: _weekdays(value, first, length)[which]

    def _item(self, item: str) -> tuple[int, ...]:
        match = ITEM.fullmatch(item)
        if match is None:
            raise self.field.refusal(item)
        low, high, step = match["low"], match["high"], match["step"]
        if high is None:
            return _expand(self.field, item)
        start, stop = self._number(low), self._number(high)
        span = _expand(self.field, low if start == stop else f"{low}-{high}")
        return tuple(sorted(span, key=lambda value: value < start))[:: int(step or 1)]

    def _hashed(self) -> tuple[int, ...]:
        if HASH.fullmatch(self.text) is None or self.field.name == "year":
            raise self.field.refusal(self.text)
        text = "h(1-28)" if self.text == "h" and self.field.name == "day-of-month" else self.text
        # A seed for each field: croniter's own hash ties minute and hour to each other.
        return _expand(self.field, text, blake2b(f"{self.field.name}:{self.salt}".encode(), digest_size=8).digest())

    def _number(self, word: str) -> int:
        return int(word) if word.isdigit() else _expand(self.field, word)[0]


@lru_cache(maxsize=4096)
def _expand(field: Field, item: str, seed: bytes | None = None) -> tuple[int, ...]:
    """Read one item of a field with croniter."""
    columns = ["*", "*", "*", "*", "*", "0", "*"]
    columns[field.column] = item
    try:
        values = croniter.expand(" ".join(columns), hash_id=seed)[0][field.column]
    except CroniterError:
        raise field.refusal(item) from None
    everything = range(field.low, field.high + 1)
    return tuple(everything if values == ["*"] else map(int, values))


def _weekdays(weekday: int, first: int, length: int) -> range:
    """All days of a month that fall on the weekday."""
    return range(1 + (weekday - first) % 7, length + 1, 7)


def _nearest_weekday(day: int, first: int, length: int) -> int:
    """Monday to Friday nearest to a day, in the same month; a month too short counts by its last day."""
    day = min(day, length)
    weekday = (first + day - 1) % 7
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day
