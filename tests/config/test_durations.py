"""Durations: every way to write one is read, every one is written back the same."""

import contextlib
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.config import format_duration, parse_duration

_DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2m", 120),
        ("30s", 30),
        ("100ms", 0.1),
        ("1h30m", 5400),
        ("7d", 7 * _DAY),
        ("2w", 14 * _DAY),
        ("1.5s", 1.5),
        ("1m0.25s", 60.25),
        ("0.001ms", 0.000001),
        (" 5s ", 5),
        ("5", 5),
        ("0.5", 0.5),
        ("0s", 0),
        (5, 5),
        (0.1, 0.1),
        (timedelta(hours=1), 3600),
    ],
)
def test_a_duration_is_text_with_units_or_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "", "s", "2 parsecs", "1h 30", "-5s", "5s-", "1e3s", "s5", "5,5s", "PT5S", "٣s", "9" * 30 + "s",
        -1, -0.5, timedelta(seconds=-1), True, None, [], {}, math.nan, math.inf, 10**40,
        pytest.param(10**5000, id="huge"),
        pytest.param("1" * 10_000, id="long"), "99999999999999d",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_cure(value: object) -> None:
    with pytest.raises(ValueError, match=r"(not a duration|negative): write it like \"30s\"") as caught:
        parse_duration(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(days=7), "7d"),
        (timedelta(minutes=2), "2m"),
        (timedelta(milliseconds=100), "100ms"),
        (timedelta(seconds=1, microseconds=1500), "1s1.5ms"),
    ],
)
def test_a_duration_is_written_short(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(st.timedeltas(min_value=timedelta(0)))
def test_what_is_written_is_read_as_exactly_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text() | st.floats() | st.integers() | st.none() | st.binary())
def test_any_value_is_a_duration_or_a_value_error(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(value) >= timedelta(0)
