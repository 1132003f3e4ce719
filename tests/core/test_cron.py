"""Cron expressions: what they mean on a wall without summer time, and what is refused."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from natsched.core.cron import compiled
from natsched.core.schedules import Cron, gap, instants, next_due
from natsched.errors import ScheduleError

EPOCH = datetime(1970, 1, 1)
SPECIAL = "0123456789*/,-#?@()LWHRlwhr \tMONJANsun%;é٣\x00"


def dues(expression: str, after: str, number: int = 3, salt: str = "job", **options: str) -> list[str]:
    """Instants after a time of UTC, told as wall times of the schedule's zone, seconds only where not zero."""
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = instants(Cron(expression, **options), start, anchor=start, salt=salt)  # type: ignore[arg-type]
    texts = [instant.replace(tzinfo=None).isoformat(" ") for instant in islice(found, number)]
    return [text.removesuffix(":00") for text in texts]


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.just("*") | span, st.integers(2, 20)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    items = number.map(str) | span | stepped
    return st.just("*") | items | st.lists(items, min_size=2, max_size=3).map(",".join)


tokens = st.lists(
    st.sampled_from(
        ("*", "?", "5", "1-5", "*/9", "H", "H/7", "h(1-2)", "L", "LW", "15W", "MON#2", "5L", "sun", "DEC-feb/2")
    ),
    min_size=1,
    max_size=2,
).map(",".join)
plain = st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(0, 6)).map(" ".join)
with_l = st.tuples(numbers(0, 59), numbers(0, 23), st.just("L"), numbers(1, 12), st.just("*")).map(" ".join)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1))


def valid(expression: str) -> str:
    try:
        compiled(expression)
    except ScheduleError as error:
        if "no such date" not in str(error):
            raise
        assume(condition=False)
    return expression


def ours(expression: str, after: datetime, number: int = 5) -> list[datetime]:
    found, wall = [], (after - EPOCH) // timedelta(seconds=1)
    pattern = compiled(expression)
    for _ in range(number):
        next_wall = pattern.next(wall + 1)
        assert next_wall is not None
        wall = next_wall
        found.append(EPOCH + timedelta(seconds=wall))
    return found


@settings(deadline=None)
@given(plain | with_l, moments)
def test_wall_times_are_those_of_cronsim(expression: str, after: datetime) -> None:
    assert ours(valid(expression), after) == list(islice(CronSim(expression, after), 5))


@settings(deadline=None)
@given(plain | with_l, moments, st.sampled_from(("0", "*", "*/7", "3-5", "59")))
def test_wall_times_are_those_of_croniter(expression: str, after: datetime, second: str) -> None:
    expression = f"{second} {valid(expression)}"
    reference = croniter(expression, after, datetime, implement_cron_bug=True, second_at_beginning=True)
    assert ours(expression, after) == [reference.get_next() for _ in range(5)]


@settings(deadline=None)
@given(plain, moments, st.timedeltas(timedelta(0), timedelta(days=800)))
def test_counting_agrees_with_visiting(expression: str, after: datetime, length: timedelta) -> None:
    pattern = compiled(valid(expression))
    low, high = ((moment - EPOCH) // timedelta(seconds=1) for moment in (after, after + length))
    visited, wall = 0, pattern.next(low)
    while wall is not None and wall < high and visited < 2000:
        visited, low, wall = visited + 1, wall + 1, pattern.next(wall + 1)
    start = (after - EPOCH) // timedelta(seconds=1)
    assert pattern.count(start, min(high, low) if visited == 2000 else high) == visited


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=20) | st.lists(tokens | st.text(SPECIAL, max_size=5), max_size=8).map(" ".join))
@example("9" * 5000 + " * * * *")
@example("* * * * " + "1," * 100_000)
@example("*-0 * * * *")
@example("@every 5m")
@example("* * * * MON#0")
@example("H(5-3) * * * *")
@example("1-2-3 * * * *")
@example("*/0 * * * *")
@example("* * 31W FEB,APR * ")
def test_any_text_is_an_expression_or_a_schedule_error(text: str) -> None:
    try:
        schedule = Cron(text)
    except ScheduleError:
        return
    after = datetime(2026, 1, 1, tzinfo=UTC)
    due = next_due(schedule, after, anchor=after, salt="a")
    assert due is None or due > after


@pytest.mark.parametrize(
    ("expression", "first", "second"),
    [
        ("0 3 * * *", "2026-01-31 03:00", "2026-02-01 03:00"),
        ("15 0 3 * * *", "2026-01-31 03:00:15", "2026-02-01 03:00:15"),
        ("0 0 3 1 JAN ? 2028", "2028-01-01 03:00", ""),
        ("0 0 29 2 *", "2028-02-29 00:00", "2032-02-29 00:00"),
        ("0 0 L * *", "2026-02-28 00:00", "2026-03-31 00:00"),
        ("0 0 LW * ?", "2026-02-27 00:00", "2026-03-31 00:00"),
        ("0 0 15W * *", "2026-02-16 00:00", "2026-03-16 00:00"),
        ("0 0 1W 8 *", "2026-08-03 00:00", "2027-08-02 00:00"),
        ("0 0 31W 1 *", "2027-01-29 00:00", "2028-01-31 00:00"),
        ("0 0 1,15W,L * *", "2026-02-01 00:00", "2026-02-16 00:00"),
        ("0 0 * * MON#2", "2026-02-09 00:00", "2026-03-09 00:00"),
        ("0 0 * * 1#5", "2026-03-30 00:00", "2026-06-29 00:00"),
        ("0 0 * * 5L", "2026-02-27 00:00", "2026-03-27 00:00"),
        ("0 0 * * friL,MON", "2026-02-02 00:00", "2026-02-09 00:00"),
        ("0 0 ? * 7", "2026-02-01 00:00", "2026-02-08 00:00"),
        ("0 0 * * sat-sun", "2026-02-01 00:00", "2026-02-07 00:00"),
        ("0 0 * nov-jan/2 *", "2026-11-01 00:00", "2026-11-02 00:00"),
        ("0 22-6/3 * * *", "2026-01-31 01:00", "2026-01-31 04:00"),
        ("5-5 0 * * *", "2026-01-31 00:05", "2026-02-01 00:05"),
        ("0 0 13 * FRI", "2026-02-06 00:00", "2026-02-13 00:00"),
        ("0 0 */2 * MON", "2026-02-09 00:00", "2026-02-23 00:00"),
        ("0 0 29 2 */7", "2032-02-29 00:00", "2060-02-29 00:00"),
        ("50/5 0 * * *", "2026-01-31 00:50", "2026-01-31 00:55"),
        ("@yearly", "2027-01-01 00:00", "2028-01-01 00:00"),
        ("@Annually", "2027-01-01 00:00", "2028-01-01 00:00"),
        ("@monthly", "2026-02-01 00:00", "2026-03-01 00:00"),
        ("@weekly", "2026-02-01 00:00", "2026-02-08 00:00"),
        ("@daily", "2026-02-01 00:00", "2026-02-02 00:00"),
        ("@midnight", "2026-02-01 00:00", "2026-02-02 00:00"),
        ("@hourly", "2026-01-31 01:00", "2026-01-31 02:00"),
    ],
)
def test_an_expression_means_these_dates(expression: str, first: str, second: str) -> None:
    assert dues(expression, "2026-01-31 00:00", 2) == [first, second][: 2 if second else 1]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("60 * * * *", "minute: '60' is not allowed; use 0-59"),
        ("0 24 * * *", "hour: '24' is not allowed; use 0-23"),
        ("0 0 0 * *", "day-of-month: '0' is not allowed; use 1-31, L"),
        ("0 0 L-3 * *", "day-of-month: 'l-3' is not allowed"),
        ("0 0 32W * *", "day-of-month: '32' is not allowed"),
        ("0 0 * 13 *", "month: '13' is not allowed; use 1-12 or JAN-DEC"),
        ("0 0 * MON *", "month: 'mon' is not allowed"),
        ("0 0 * * 8", "day-of-week: '8' is not allowed; use 0-7 or SUN-SAT"),
        ("0 0 * * MON#6", "day-of-week: 'mon#6' is not allowed"),
        ("0 0 * * L", "day-of-week: 'l' is not allowed"),
        ("60 0 0 * * *", "second: '60' is not allowed; use 0-59"),
        ("0 0 0 1 1 * 1969", "year: '1969' is not allowed; use 1970-2099"),
        ("0 0 0 1 1 * H", "year: 'h' is not allowed"),
        ("? * * * *", r"minute: '\?' is not allowed"),
        ("R * * * *", "minute: 'r' is not allowed"),
        ("H,5 * * * *", "minute: 'h,5' is not allowed.*H, H.1-5., H/2 alone"),
        ("H(0-60) * * * *", r"minute: 'h\(0-60\)' is not allowed"),
        ("-5 * * * *", "minute: '-5' is not allowed"),
        ("1,,2 * * * *", "minute: '' is not allowed"),
        ("*/0 * * * *", "minute: '\\*/0' is not allowed"),
        ("", "use 5 fields .minute hour day-of-month month day-of-week., 6 .second first. or 7"),
        ("* * * *", "use 5 fields"),
        ("@reboot", "there is no @reboot; use @yearly.*Interval"),
        ("0 0 30 2 *", "no such date exists, it would never fire"),
        ("0 0 31 2,4,6,9,11 *", "no such date exists"),
        ("0 0 0 29 2 * 2026", "no such date exists"),
        ("* " * 300, "longer than 500 characters"),
    ],
)
def test_a_bad_expression_is_refused_by_field_with_what_is_allowed(expression: str, reason: str) -> None:
    with pytest.raises(ScheduleError, match=reason):
        Cron(expression)


def test_hashed_fields_are_fixed_for_a_job_and_spread_over_jobs() -> None:
    at = [dues("H H * * *", "2026-01-31 00:00", 2, salt=f"job-{n}") for n in range(200)]
    assert at == [dues("H H * * *", "2026-01-31 00:00", 2, salt=f"job-{n}") for n in range(200)]
    assert len({first[-5:] for first, _ in at}) > 170
    assert len({first[-5:-3] for first, _ in at}) == 24
    assert all(first[-5:] == second[-5:] for first, second in at)


def test_a_hashed_minute_says_nothing_about_the_hashed_hour() -> None:
    pairs = {dues("H H * * *", "2026-01-31 00:00", 1, salt=f"job-{n}")[0][-5:] for n in range(5000)}
    assert len(pairs) > 1300


def test_hashed_steps_and_ranges_keep_their_bounds() -> None:
    for n in range(50):
        quarter = dues("H/15 * * * *", "2026-01-31 00:00", 4, salt=f"job-{n}")
        assert [int(text[-2:]) - int(quarter[0][-2:]) for text in quarter] == [0, 15, 30, 45]
        assert int(dues("H(10-19) * * * *", "2026-01-31 00:00", 1, salt=f"job-{n}")[0][-2:]) in range(10, 20)
        monthly = dues("H H H * *", "2026-01-31 23:59", 13, salt=f"job-{n}")
        assert monthly[12][:4] == "2027", "a hashed day exists in every month"


def test_the_last_year_of_an_expression_ends_it() -> None:
    after = datetime(2027, 12, 31, 23, 59, 58, tzinfo=UTC)
    schedule = Cron("* * * * * * 2027")
    assert next_due(schedule, after, anchor=after, salt="") == after + timedelta(seconds=1)
    assert next_due(schedule, after + timedelta(seconds=1), anchor=after, salt="") is None
    told = gap(schedule, after, after + timedelta(days=9), anchor=after, salt="")
    assert (told.last, told.number) == (after + timedelta(seconds=1), 2)


def test_a_year_of_missed_seconds_is_told_exactly() -> None:
    first = datetime(2027, 1, 1, tzinfo=UTC)
    told = gap(Cron("* * * * * *"), first, first + timedelta(days=365, microseconds=9), anchor=first, salt="")
    assert (told.last, told.number, told.exact) == (first + timedelta(days=365), 31_536_001, True)
