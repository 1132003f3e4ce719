"""When to begin: early enough for each of a burst, and no earlier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.pacing import BASE, SLACK, Beginning, beginning

gaps = st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 300)), min_size=1, max_size=30)
costs = st.floats(0, 0.002)


def starts_of(drawn: list[tuple[float, int]]) -> list[tuple[float, int]]:
    starts, at = [], 1000.0
    for gap, many in drawn:
        at += gap
        starts.append((at, many))
    return starts


def latest_beginnings(starts: list[tuple[float, int]], cost: float) -> list[float]:
    """Return for each start when all up to it must be begun with."""
    found, number = [], 0
    for start, many in starts:
        number += many
        found.append(start - BASE - cost * number)
    return found


@given(gaps, costs)
def test_every_start_of_a_burst_has_the_time_it_takes(drawn: list[tuple[float, int]], cost: float) -> None:
    starts = starts_of(drawn)
    plan = beginning(starts, cost=cost)
    assert plan is not None
    assert plan.at <= min(latest_beginnings(starts, cost)) + 1e-9


@given(gaps, costs)
def test_nothing_begins_earlier_than_the_most_demanding_start_asks_for(
    drawn: list[tuple[float, int]], cost: float
) -> None:
    starts = starts_of(drawn)
    plan = beginning(starts, cost=cost)
    assert plan is not None
    latest = latest_beginnings(starts, cost)
    assert plan.at >= min(latest) - 1e-9
    taken = [at for at, (start, _) in zip(latest, starts, strict=True) if start <= plan.until]
    left = [at for at, (start, _) in zip(latest, starts, strict=True) if start > plan.until]
    assert taken
    assert all(at > plan.at + SLACK for at in left)


def test_nothing_held_has_no_beginning() -> None:
    assert beginning([], cost=0.001) is None


@pytest.mark.parametrize(
    ("starts", "cost", "expected"),
    [
        ([(10.0, 1)], 0.0, Beginning(10.0 - BASE, 10.0)),
        ([(10.0, 1), (10.003, 1)], 0.0, Beginning(10.0 - BASE, 10.003)),
        ([(10.0, 1), (10.5, 1)], 0.0, Beginning(10.0 - BASE, 10.0)),
        ([(10.0, 1), (10.5, 1000)], 0.001, Beginning(10.5 - BASE - 1.001, 10.5)),
    ],
    ids=["alone", "neighbours share a read", "a later one waits", "a burst behind begins first"],
)
def test_a_beginning(starts: list[tuple[float, int]], cost: float, expected: Beginning) -> None:
    assert beginning(starts, cost=cost) == pytest.approx(expected)
