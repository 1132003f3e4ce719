"""Cron across every transition of every IANA zone, 2020-2030, against cronsim and against asking minute by minute.

cronsim follows Debian's cron, as we do by default. They differ in one thing, where we are right: for jobs with a
starred hour or minute cronsim searches in steps of an hour from a full one, so it misses instants where a shift
is no whole number of hours (Lord Howe: 30 minutes) or starts past a full one (Casey: at 00:01).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import islice, pairwise, takewhile

import pytest
from cronsim import CronSim

from natsched.core.schedules import Cron, gap, instants, next_due
from natsched.core.zones import EPOCH, load_zone, segments, tzdata_version, zone_names

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIXED = ("30 2 * * *", "15 0 * * *", "0,30 1-3 * * *", "0 0 * * *", "5 3 * * MON", "10 1 1-15 * *")
STARRED = ("0 * * * *", "*/15 * * * *", "0 */2 * * *", "30 */2 * * *", "*/20 2 * * *", "45 */6 * * SUN")
CRONSIM_MISSES = {"Antarctica/Casey", "Australia/Lord_Howe"}


@dataclass(frozen=True)
class Transition:
    """Instant at which a zone's offset changes."""

    zone: str
    at: datetime
    before: timedelta
    offset: timedelta


@cache
def transitions() -> tuple[Transition, ...]:
    """All that differ in instant or offsets, found by asking each zone (once for equal data) for its offset."""
    data = {
        files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes(): name for name in sorted(zone_names())
    }
    found = {
        (part.start, part.before, part.offset): name
        for name in sorted(data.values())
        for year in range(2020, 2031)
        for part in segments(name, year)
        if part.before != part.offset
    }
    return tuple(
        Transition(name, EPOCH + timedelta(seconds=start), timedelta(seconds=before), timedelta(seconds=offset))
        for (start, before, offset), name in found.items()
    )


def between(schedule: Cron, after: datetime, until: datetime) -> list[datetime]:
    found = instants(schedule, after, anchor=after, salt="")
    return list(takewhile(lambda instant: instant <= until, found))


def by_cronsim(expression: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    found = (instant.astimezone(UTC) for instant in CronSim(expression, after.astimezone(load_zone(zone))))
    return list(takewhile(lambda instant: instant <= until, found))


@dataclass(frozen=True)
class Shown:
    """What a wall shows at an instant, what it left out just before, and whether it shows it twice."""

    instant: datetime
    wall: datetime
    missing: tuple[datetime, ...]
    fold: int
    twice: bool


@cache
def shown(found: Transition) -> tuple[Shown, ...]:
    """Every minute within four hours of a transition."""
    zone = load_zone(found.zone)
    minutes = []
    expected = (found.at - 4 * HOUR).astimezone(zone).replace(tzinfo=None)
    for n in range(-4 * 60, 4 * 60):
        local = (found.at + n * MINUTE).astimezone(zone)
        wall = local.replace(tzinfo=None)
        missing = tuple(expected + k * MINUTE for k in range((wall - expected) // MINUTE))
        twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
        minutes.append(Shown(found.at + n * MINUTE, wall, missing, local.fold, twice))
        expected = wall + MINUTE
    return tuple(minutes)


def by_asking(schedule: Cron, minutes: set[int], hours: set[int], found: Transition) -> Iterator[datetime]:
    """The policy, word for word."""

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hours

    for at in shown(found):
        counts = not at.twice or schedule.repeated == "both" or at.fold == (schedule.repeated == "second")
        if (matches(at.wall) and counts) or (schedule.skipped == "next" and any(map(matches, at.missing))):
            yield at.instant


def test_there_are_transitions_of_all_kinds_to_test() -> None:
    kinds = {(found.offset - found.before) / HOUR for found in transitions()}
    assert {-1, -0.5, 0.5, 1} <= kinds
    assert len(transitions()) > 300
    assert {found.zone for found in transitions()} >= CRONSIM_MISSES


@pytest.mark.parametrize("expression", FIXED + STARRED)
def test_across_every_transition_instants_are_those_of_cronsim(expression: str) -> None:
    for found in transitions():
        around = 8 * HOUR if expression in STARRED else 26 * HOUR
        after, until = found.at - around, found.at + around
        ours = between(Cron(expression, timezone=found.zone), after, until)
        theirs = by_cronsim(expression, found.zone, after, until)
        if expression in STARRED and found.zone in CRONSIM_MISSES:
            assert set(theirs) <= set(ours), found
        else:
            assert ours == theirs, found


@pytest.mark.parametrize("skipped", ["next", "skip"])
@pytest.mark.parametrize("repeated", ["first", "second", "both"])
@pytest.mark.parametrize(
    ("expression", "minutes", "hours"),
    [
        ("*/15 * * * *", {0, 15, 30, 45}, set(range(24))),
        ("5,50 0-3,23 * * *", {5, 50}, {0, 1, 2, 3, 23}),
        ("0 */2 * * *", {0}, set(range(0, 24, 2))),
    ],
)
def test_across_every_transition_each_policy_does_what_it_says(
    expression: str, minutes: set[int], hours: set[int], skipped: str, repeated: str
) -> None:
    for found in transitions():
        schedule = Cron(expression, timezone=found.zone, skipped=skipped, repeated=repeated)  # type: ignore[arg-type]
        ours = between(schedule, found.at - 4 * HOUR - MINUTE, found.at + 4 * HOUR - MINUTE)
        assert ours == list(by_asking(schedule, minutes, hours, found)), found
        told = gap(schedule, ours[0], ours[-1] + MINUTE, anchor=EPOCH, salt="")
        assert (told.last, told.number) == (ours[-1], len(ours)), found


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/30 * * * *", "0 0 * * *"])
def test_between_transitions_nothing_is_skipped(expression: str) -> None:
    """A search that starts anywhere finds what a walk finds."""
    for found in transitions()[::7]:
        schedule = Cron(expression, timezone=found.zone)
        walked = between(schedule, found.at - 30 * HOUR, found.at + 30 * HOUR)
        for earlier, later in pairwise(walked):
            assert earlier < later
            for within in (earlier, earlier + (later - earlier) / 3, later - timedelta(microseconds=1)):
                assert next_due(schedule, within, anchor=EPOCH, salt="") == later


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("zone", "expression", "options", "after", "expected"),
    [
        (BERLIN, "30 2 * * *", {}, "2026-03-28T12", ["03-29 01:00", "03-30 00:30"]),
        (BERLIN, "30 2 * * *", {"skipped": "skip"}, "2026-03-28T12", ["03-30 00:30", "03-31 00:30"]),
        (BERLIN, "0,20,40 2,3 * * *", {}, "2026-03-28T12", ["03-29 01:00", "03-29 01:20", "03-29 01:40"]),
        (BERLIN, "30 2 * * *", {}, "2026-10-24T12", ["10-25 00:30", "10-26 01:30"]),
        (BERLIN, "30 2 * * *", {"repeated": "second"}, "2026-10-24T12", ["10-25 01:30", "10-26 01:30"]),
        (BERLIN, "30 2 * * *", {"repeated": "both"}, "2026-10-24T12", ["10-25 00:30", "10-25 01:30"]),
        (BERLIN, "0 30 2 * * *", {}, "2026-10-24T12", ["10-25 00:30", "10-26 01:30"]),
        (BERLIN, "0 * * * *", {}, "2026-10-24T23:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        (BERLIN, "0 * * * *", {}, "2026-03-28T23:30", ["03-29 00:00", "03-29 01:00", "03-29 02:00"]),
        (BERLIN, "30 */2 * * *", {}, "2026-03-28T23", ["03-28 23:30", "03-29 02:30"]),
        (BERLIN, "30 */2 * * *", {}, "2026-10-24T23", ["10-25 00:30", "10-25 01:30", "10-25 03:30"]),
        (BERLIN, "*/30 * * * *", {"repeated": "first"}, "2026-10-25T00:15", ["10-25 00:30", "10-25 02:00"]),
        (BERLIN, "*/30 2 * * *", {"skipped": "next"}, "2026-03-28T12", ["03-29 01:00", "03-30 00:00"]),
        (BERLIN, "H/30 2 * * *", {}, "2026-03-28T12", ["03-30 00:", "03-30 00:"]),
        ("America/Sao_Paulo", "0 0 * * *", {}, "2018-11-03T12", ["11-04 03:00", "11-05 02:00"]),
        ("America/Sao_Paulo", "30 23 * * *", {}, "2018-02-17T12", ["02-18 01:30", "02-19 02:30"]),
        ("Africa/Cairo", "15 0 * * *", {}, "2024-04-25T12", ["04-25 22:00", "04-26 21:15"]),
        ("Asia/Beirut", "0 0 * * SUN", {}, "2024-03-30T12", ["03-30 22:00", "04-06 21:00"]),
        ("America/Santiago", "59 0 * * *", {}, "2024-09-07T12", ["09-08 04:00", "09-09 03:59"]),
        ("America/Havana", "1 0 * * *", {}, "2024-03-09T12", ["03-10 05:00", "03-11 04:01"]),
        ("America/Havana", "1 0 * * *", {}, "2024-11-02T12", ["11-03 04:01", "11-04 05:01"]),
        ("Atlantic/Azores", "30 0 * * *", {}, "2024-03-30T12", ["03-31 01:00", "04-01 00:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", {}, "2024-10-05T12", ["10-05 15:30", "10-06 15:15"]),
        ("Australia/Lord_Howe", "45 1 * * *", {}, "2024-04-06T12", ["04-06 14:45", "04-07 15:15"]),
        ("Asia/Almaty", "30 23 * * *", {}, "2024-02-28T20", ["02-29 17:30", "03-01 18:30"]),
        ("Pacific/Apia", "0 9 * * *", {}, "2011-12-29T12", ["12-29 19:00", "12-30 10:00", "12-30 19:00"]),
        ("Pacific/Apia", "0 9 30 12 *", {"skipped": "skip"}, "2011-12-29T12", ["12-29 19:00"]),
    ],
)
def test_a_job_in_a_zone_is_due_at_these_instants_of_utc(
    zone: str, expression: str, options: dict[str, str], after: str, expected: list[str]
) -> None:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    schedule = Cron(expression, timezone=zone, **options)  # type: ignore[arg-type]
    found = islice(instants(schedule, start, anchor=start, salt=""), len(expected))
    assert [f"{instant:%m-%d %H:%M}"[: len(text)] for instant, text in zip(found, expected, strict=True)] == expected


def test_a_schedule_ends_in_every_zone_where_the_search_does() -> None:
    for name in ("Pacific/Kiritimati", "Pacific/Niue", "UTC", BERLIN):
        last = datetime(2199, 12, 31, 23, 59, tzinfo=UTC) - timedelta(days=2)
        found = list(instants(Cron("0 0 * * *", timezone=name), last, anchor=last, salt=""))
        assert 1 <= len(found) <= 3


def test_zones_come_from_tzdata_and_not_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    assert load_zone("Europe/Vaduz").key == "Europe/Vaduz"
    assert tzdata_version() >= "2025.1"
    after = datetime(2026, 1, 1, tzinfo=UTC)
    assert next_due(Cron("0 3 * * *"), after, anchor=after, salt="") == after + 3 * HOUR
