"""Schedules: properties that hold for all kinds, intervals, single instants, windows, jitter and the stored form."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from natsched.core.chains import After
from natsched.core.schedules import (
    LONGEST_PERIOD,
    Cron,
    Gap,
    Interval,
    Once,
    Schedule,
    describe,
    gap,
    instants,
    jitter_of,
    next_due,
)
from natsched.errors import ScheduleError

ANCHOR = datetime(2026, 1, 5, 12, 0, 0, 123_456, tzinfo=UTC)
STORED: TypeAdapter[Schedule] = TypeAdapter(
    Annotated[Cron | Interval | Once, Field(discriminator="kind")],
    config=ConfigDict(ser_json_timedelta="float", extra="forbid"),
)
EXPRESSIONS = (
    "* * * * *",
    "*/15 * * * *",
    "30 2 * * *",
    "0 9-17 * * MON-FRI",
    "*/10 * * * * *",
    "0 0 L * *",
    "H H(1-3) * * *",
    "0 30 1,2 * * * 2025-2027",
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata")

moments = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
periods = st.timedeltas(timedelta(milliseconds=100), timedelta(days=40))


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    start_at, end_at = draw(st.none() | moments), draw(st.none() | moments)
    if start_at and end_at and start_at > end_at:
        start_at, end_at = end_at, start_at
    return {"start_at": start_at, "end_at": end_at, "max_runs": draw(st.none() | st.integers(1, 9))}


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    return Cron(
        draw(st.sampled_from(EXPRESSIONS)),
        timezone=draw(st.sampled_from(ZONES)),
        skipped=draw(st.sampled_from((None, "next", "skip"))),
        repeated=draw(st.sampled_from((None, "first", "second", "both"))),
        jitter=draw(st.none() | st.timedeltas(timedelta(0), timedelta(hours=1))),
        **draw(windows()),
    )


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    period = draw(periods)
    jitter = draw(st.none() | st.timedeltas(timedelta(0), period))
    return Interval(period, jitter=jitter, fixed_delay=draw(st.booleans()), **draw(windows()))


schedules = crons() | intervals() | moments.map(Once)


def first_instants(schedule: Schedule, after: datetime, number: int = 20) -> list[datetime]:
    return list(islice(instants(schedule, after, anchor=ANCHOR, salt="a.job"), number))


def due_after(schedule: Schedule, after: datetime) -> datetime | None:
    return next_due(schedule, after, anchor=ANCHOR, salt="a.job")


@settings(deadline=None)
@given(schedules, moments)
def test_instants_increase_strictly_and_lie_after_what_was_asked(schedule: Schedule, after: datetime) -> None:
    found = [after, *first_instants(schedule, after)]
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(instant.tzinfo is UTC for instant in found)


@settings(deadline=None)
@given(schedules, moments)
def test_instants_lie_in_the_window_and_its_ends_belong_to_it(schedule: Schedule, after: datetime) -> None:
    for instant in first_instants(schedule, after):
        assert schedule.start_at is None or instant >= schedule.start_at
        assert schedule.end_at is None or instant <= schedule.end_at
        assert not isinstance(schedule, After)
        start_at = schedule.start_at if isinstance(schedule, Interval) else instant
        tight = replace(schedule, start_at=start_at, end_at=instant)
        assert due_after(tight, instant - timedelta(microseconds=1)) == instant


@settings(deadline=None)
@given(schedules, moments, moments)
def test_no_instant_is_skipped_wherever_the_search_starts(
    schedule: Schedule, after: datetime, between: datetime
) -> None:
    due = due_after(schedule, after)
    assume(due is not None)
    assert due is not None
    within = after + (due - after) * ((between - datetime(2025, 1, 1, tzinfo=UTC)) / timedelta(days=1096))
    assert due_after(schedule, min(within, due - timedelta(microseconds=1))) == due


@settings(deadline=None)
@given(schedules, moments, st.timedeltas(timedelta(0), timedelta(hours=3)))
def test_a_gap_tells_what_the_instants_would(schedule: Schedule, after: datetime, length: timedelta) -> None:
    first = due_after(schedule, after)
    assume(first is not None)
    assert first is not None
    until = first + length
    if isinstance(schedule, Interval):
        until = first + 7.3 * schedule.period
    passed: list[datetime] = []
    for instant in instants(schedule, first - timedelta(microseconds=1), anchor=ANCHOR, salt="a.job"):
        if instant > until or (isinstance(schedule, Interval) and schedule.fixed_delay and passed):
            break
        passed.append(instant)
    expected = Gap(first=first, last=passed[-1], number=len(passed), exact=True)
    assert gap(schedule, first, until, anchor=ANCHOR, salt="a.job") == expected


@settings(deadline=None)
@given(periods, moments, moments, st.integers(0, 10**6))
def test_an_interval_is_exact_and_its_phase_depends_on_its_anchor_alone(
    period: timedelta, anchor: datetime, after: datetime, k: int
) -> None:
    later = after + k * timedelta(minutes=1)
    for schedule, start in ((Interval(period), anchor + period), (Interval(period, start_at=after), after)):
        due = next_due(schedule, later, anchor=anchor, salt="")
        assert due is not None
        assert (due - start) % period == timedelta(0)
        assert due >= start
        assert due == start or due - period <= later < due


@settings(deadline=None)
@given(schedules, moments, st.text(max_size=20))
def test_jitter_is_within_range_and_the_same_everywhere(schedule: Schedule, due: datetime, uid: str) -> None:
    jitter = jitter_of(schedule, due, uid=uid)
    assert timedelta(0) <= jitter < (schedule.jitter or timedelta(microseconds=1))
    assert jitter == jitter_of(schedule, due.astimezone(ZoneInfo("Asia/Tokyo")), uid=uid)


@settings(deadline=None)
@given(schedules)
def test_the_stored_form_gives_the_same_schedule(schedule: Schedule) -> None:
    assert STORED.validate_json(STORED.dump_json(schedule)) == schedule


def test_the_stored_form_is_plain_json_in_seconds_and_utc() -> None:
    schedule = Interval(hours=1, start_at=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1))), jitter=2.5)
    assert STORED.dump_python(schedule, mode="json") == {
        "kind": "interval",
        "period": 3600.0,
        "start_at": "2026-03-01T00:00:00Z",
        "end_at": None,
        "max_runs": None,
        "jitter": 2.5,
        "fixed_delay": False,
    }
    kinds = STORED.json_schema()["discriminator"]["mapping"]
    assert sorted(kinds) == ["cron", "interval", "once"]


@pytest.mark.parametrize(
    ("document", "place", "reason"),
    [
        ({"kind": "cron", "expression": "61 * * * *"}, ("cron",), "minute: '61' is not allowed"),
        ({"kind": "cron", "expression": "* * * * *", "timezone": "Europe/Berln"}, ("cron",), "Europe/Berlin"),
        ({"kind": "interval", "period": 0.05}, ("interval",), "0.1 s is the least"),
        ({"kind": "once", "at": "2026-01-01T00:00:00"}, ("once",), "has no time zone"),
        ({"kind": "once", "at": "0001-01-01T00:00:00+14:00"}, ("once",), "out of range"),
        ({"kind": "interval", "period": 5, "max_runs": 0}, ("interval",), "max_runs"),
        ({"kind": "interval", "period": 5, "hours": 3}, ("interval", "hours"), "Unexpected keyword"),
    ],
)
def test_a_bad_stored_schedule_is_a_validation_error_with_its_place(
    document: dict[str, Any], place: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        STORED.validate_python(document)
    (error,) = caught.value.errors()
    assert error["loc"] == place
    assert reason in error["msg"]


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: Once(datetime(2026, 1, 1)), "at: .* no time zone; add one"),
        (lambda: Once(ANCHOR, end_at=ANCHOR - timedelta(1)), "at: outside"),
        (Interval, "period: give either"),
        (lambda: Interval(timedelta(1), hours=1), "period: give either"),
        (lambda: Interval(milliseconds=99), "period: 0.099 s is too short"),
        (lambda: Interval(hours=-1), "too short"),
        (lambda: Interval(hours=float("inf")), "period: out of range"),
        (lambda: Interval(seconds=float("nan")), "period: out of range"),
        (lambda: Interval(seconds=1, jitter=1.5), "jitter: longer than the period"),
        (lambda: Interval(seconds=1, jitter=-0.5), "jitter: is negative"),
        (lambda: Interval(seconds=1, max_runs=0), "max_runs: 0"),
        (lambda: Interval(seconds=1, start_at=datetime(2026, 1, 1)), "start_at: .* no time zone"),
        (lambda: Cron("* * * * *", start_at=ANCHOR, end_at=ANCHOR - timedelta(1)), "end_at: lies before"),
        (lambda: Cron("* * * * *", timezone="Mars/Base"), "timezone: there is no zone 'Mars/Base'"),
        (lambda: Cron("* * * * *", timezone="../../etc/passwd"), "timezone: there is no zone"),
        (lambda: Cron("* * * * *", skipped="later"), "skipped: 'later' is not one of next, skip"),  # type: ignore[arg-type]
        (lambda: Cron("* * * * *", repeated="no"), "repeated: 'no' is not one of first, second, both"),  # type: ignore[arg-type]
    ],
)
def test_a_schedule_that_can_never_be_valid_is_refused_with_field_and_cure(build: Any, reason: str) -> None:
    with pytest.raises(ScheduleError, match=reason):
        build()


def test_equal_schedules_are_equal_however_written() -> None:
    berlin = datetime(2026, 7, 1, 14, tzinfo=ZoneInfo("Europe/Berlin"))
    assert Once(berlin) == Once(datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert Interval(minutes=90) == Interval(hours=1.5) == Interval(timedelta(minutes=90), jitter=0)
    assert Cron(" 0  3 * * *", jitter=60) == Cron("0 3 * * *", jitter=timedelta(minutes=1))
    assert Cron("0 3 * * *") != Cron("0 3 * * *", timezone="Europe/Berlin")
    assert len({Once(berlin), Once(berlin.astimezone(UTC))}) == 1


def test_an_interval_in_tenths_of_seconds_does_not_drift() -> None:
    schedule = Interval(milliseconds=100)
    after = ANCHOR + timedelta(days=3650)
    assert due_after(schedule, after) == after + timedelta(milliseconds=100)
    passed = gap(schedule, ANCHOR + timedelta(milliseconds=100), after, anchor=ANCHOR, salt="")
    assert passed == Gap(first=ANCHOR + timedelta(milliseconds=100), last=after, number=3_153_600_000)


def test_an_interval_starts_a_period_after_creation_or_at_its_start() -> None:
    assert due_after(Interval(hours=1), ANCHOR - timedelta(days=9)) == ANCHOR + timedelta(hours=1)
    start = ANCHOR + timedelta(days=2)
    assert due_after(Interval(hours=1, start_at=start), ANCHOR) == start


def test_a_single_instant_is_due_once_and_never_after() -> None:
    assert first_instants(Once(ANCHOR), ANCHOR - timedelta(days=1)) == [ANCHOR]
    assert due_after(Once(ANCHOR), ANCHOR) is None
    assert gap(Once(ANCHOR), ANCHOR, ANCHOR + timedelta(9), anchor=ANCHOR, salt="").number == 1


def test_what_lies_past_the_end_of_the_calendar_is_no_instant() -> None:
    assert due_after(Interval(LONGEST_PERIOD), datetime(9900, 1, 1, tzinfo=UTC)) is None
    assert due_after(Cron("* * * * *", timezone="Asia/Tokyo"), datetime.max.replace(tzinfo=UTC)) is None
    assert due_after(Cron("* * * * *"), datetime.min.replace(tzinfo=UTC)) is not None


def test_jitter_spreads_evenly_over_jobs_and_instants() -> None:
    schedule = Cron("* * * * *", jitter=10)
    drawn = [jitter_of(schedule, ANCHOR + timedelta(minutes=n % 50), uid=f"u{n // 50}") for n in range(2000)]
    assert len(set(drawn)) > 1990
    for decile in range(10):
        low = timedelta(seconds=decile)
        assert 130 < sum(low <= jitter < low + timedelta(seconds=1) for jitter in drawn) < 270


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Cron("0 3 * * *", timezone="Europe/Berlin"), "cron 0 3 * * * Europe/Berlin"),
        (Cron("@daily"), "cron @daily UTC"),
        (Interval(hours=1), "every 1h"),
        (Interval(days=1, minutes=90.5), "every 1d1h30m30s"),
        (Interval(milliseconds=250, fixed_delay=True), "every 250ms after each end"),
        (Once(datetime(2026, 11, 22, 2, tzinfo=UTC)), "once 2026-11-22 02:00:00Z"),
    ],
)
def test_a_schedule_is_described_in_a_few_words(schedule: Schedule, text: str) -> None:
    assert describe(schedule) == text
