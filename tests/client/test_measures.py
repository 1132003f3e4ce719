"""Instants, distances and spans as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.client.measures import distance, instant, seconds_of, span, time_of_day
from tests.factories import NOON


def test_instants_are_in_utc() -> None:
    berlin = datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    assert instant(berlin) == "2026-01-01 12:00:00Z"
    assert instant(berlin + timedelta(milliseconds=7)) == "2026-01-01 12:00:00.007Z"
    assert instant(None) == "-"
    assert time_of_day(berlin) == "12:00:00.000"


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (timedelta(0), "now"),
        (timedelta(milliseconds=300), "now"),
        (timedelta(seconds=5), "in 5s"),
        (timedelta(seconds=-90), "1m 30s ago"),
        (timedelta(hours=3, minutes=20, seconds=5), "in 3h 20m"),
        (timedelta(days=2, minutes=5), "in 2d"),
    ],
)
def test_a_distance_has_its_two_largest_units(ahead: timedelta, text: str) -> None:
    assert distance(NOON + ahead, NOON) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.00042, "0.42 ms"),
        (-0.00042, "-0.42 ms"),
        (0.0123, "12 ms"),
        (1.5, "1.50 s"),
        (200.0, "3m 20s"),
    ],
)
def test_a_span_is_as_precise_as_its_size_deserves(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_settings_of_jobs_are_seconds() -> None:
    assert [seconds_of(value) for value in (None, 30.0, timedelta(minutes=1))] == ["-", "30 s", "60 s"]


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_any_two_instants_have_a_distance(one: datetime, other: datetime) -> None:
    assert distance(one, other)
    assert span((one - other).total_seconds())
