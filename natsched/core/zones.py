"""Time zones, and what the walls of a zone show when. Theory of operation.

Zone data come from the `tzdata` package alone, never from the host, so that replicas agree.

A zone is a row of segments, spans of UTC seconds with one offset. Where the next offset is larger, wall times
are skipped; where it is smaller, they are repeated. Within a segment wall and UTC run alike, so a `Timeline`,
which walks the segments, yields instants in order whatever the zone does. The policy only says which wall
times count: skipped ones can be made up for at the start of the next segment, a repeated one counts in its
first segment, its second or both.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from natsched.errors import ScheduleError

Skipped = Literal["next", "skip"]
Repeated = Literal["first", "second", "both"]

DAY = 86_400
WEEK = 7 * DAY
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = EPOCH.toordinal()
# Seconds since 1970: cron times are looked for in this span alone, so that no document makes a search endless.
FIRST = 0
END = (date(2200, 1, 1).toordinal() - EPOCH_ORDINAL) * DAY


class WallTimes(Protocol):
    """Set of wall seconds, counted from 1970 as if the wall were UTC."""

    def next(self, wall: int) -> int | None:
        """First one at or after `wall`."""

    def count(self, low: int, high: int) -> int:
        """How many lie in [low, high)."""


class Segment(NamedTuple):
    """Span of UTC seconds [start, end) with one offset; `before` and `after` are its neighbours' offsets.

    Years are cut apart, so a neighbour's offset may be the same.
    """

    start: int
    end: int
    offset: int
    before: int
    after: int


def tzdata_version() -> str:
    """Version of the zone rules in use: replicas whose versions differ can differ in when a job is due."""
    return version("tzdata")


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Names of all IANA zones and their aliases."""
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """Load a zone by its IANA name; ScheduleError with the nearest names where there is none."""
    if name not in zone_names():
        raise ScheduleError(f"timezone: there is no zone {name!r}{_meant(name)}; use an IANA name like Europe/Berlin")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def segment(name: str, instant: int) -> Segment:
    """Find the segment of a zone that holds the instant, which must lie in [FIRST, END)."""
    of_year = segments(name, date.fromordinal(instant // DAY + EPOCH_ORDINAL).year)
    return next(found for found in of_year if instant < found.end)


@lru_cache(maxsize=8192)
def segments(name: str, year: int) -> tuple[Segment, ...]:
    """Cut one UTC year of a zone into its segments, in order.

    Found by asking for the offset once a day and halving where it changed, as zoneinfo publishes no list. The
    shortest segment of any zone in 1970-2037 is 7 days long (measured).
    """
    zone = load_zone(name)
    first, end = ((date(y, 1, 1).toordinal() - EPOCH_ORDINAL) * DAY for y in (year, year + 1))
    starts, offsets = [first], [_offset(zone, first)]
    for midnight in range(first + DAY, end + 1, DAY):
        offset = _offset(zone, midnight)
        if offset != offsets[-1]:
            starts.append(_change(zone, midnight - DAY, midnight))
            offsets.append(offset)
    if starts[-1] == end:  # it changes at the very turn of the year
        starts.pop()
    else:
        offsets.append(offsets[-1])
    before = [_offset(zone, first - 1), *offsets]
    ends = [*starts[1:], end]
    return tuple(map(Segment, starts, ends, offsets, before, offsets[1:]))


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Instants of a set of wall times in a zone under a policy, all in seconds since 1970."""

    walls: WallTimes
    zone: str
    skipped: Skipped
    repeated: Repeated

    def next(self, after: int) -> int | None:
        """First instant strictly after `after`."""
        instant = max(after + 1, FIRST)
        while instant < END:
            part = segment(self.zone, instant)
            if instant == part.start and self._makes_up(part):
                return instant
            low, high = self._range(part)
            wall = self.walls.next(max(instant + part.offset, low))
            if wall is None:
                return None
            if wall < high:
                return wall - part.offset
            # No wall time matches before `wall`: jump close to it, once past the hours that may be repeated.
            instant = max(part.end, wall - WEEK) if part.end - instant > WEEK else part.end
        return None

    def last(self, after: int, until: int) -> int | None:
        """Last instant in (after, until]."""
        befores = range(after, until)
        beyond = bisect_left(befores, x=True, key=lambda before: self._is_over(before, until))
        return self.next(befores[beyond - 1]) if beyond else None

    def count(self, first: int, until: int) -> int:
        """How many instants lie in [first, until], without visiting them."""
        number, instant, until = 0, max(first, FIRST), min(until, END - 1)
        while instant <= until:
            part = segment(self.zone, instant)
            low, high = self._range(part)
            begin = max(instant + part.offset, low)
            number += self.walls.count(begin, max(begin, min(until + 1 + part.offset, high)))
            if instant == part.start and self._makes_up(part):
                number += 1 - self.walls.count(instant + part.offset, instant + part.offset + 1)
            instant = part.end
        return number

    def _is_over(self, after: int, until: int) -> bool:
        instant = self.next(after)
        return instant is None or instant > until

    def _makes_up(self, part: Segment) -> bool:
        """Whether the segment's first instant stands for wall times skipped before it."""
        if self.skipped == "skip" or part.offset <= part.before:
            return False
        wall = self.walls.next(part.start + part.before)
        return wall is not None and wall < part.start + part.offset

    def _range(self, part: Segment) -> tuple[int, int]:
        """Wall times [low, high) of the segment that the policy lets count."""
        low, high = part.start + part.offset, part.end + part.offset
        if self.repeated == "first":
            low = max(low, part.start + part.before)
        elif self.repeated == "second":
            high = min(high, part.end + part.after)
        return low, high


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """First second of (low, high] with high's offset."""
    target = _offset(zone, high)
    return low + 1 + bisect_left(range(low + 1, high), x=True, key=lambda second: _offset(zone, second) == target)


def _offset(zone: ZoneInfo, instant: int) -> int:
    offset = (EPOCH + timedelta(seconds=instant)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def _meant(name: str) -> str:
    """`, did you mean A or B?`, or nothing where no name is near."""
    folded = {known.lower(): known for known in sorted(zone_names())}
    cities = {known.rpartition("/")[2]: known for known in folded}
    wanted = name.lower().replace(" ", "_")
    near = get_close_matches(wanted, folded, n=2, cutoff=0.75) or [
        cities[city] for city in get_close_matches(wanted, cities, n=2, cutoff=0.75)
    ]
    return f", did you mean {' or '.join(folded[known] for known in near)}?" if near else ""
