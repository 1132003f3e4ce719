"""The server's clock, told from round trips: never further off than half of the best one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.offsets import KEPT, OffsetFilter, Sample

bases = st.floats(-1e5, 1e5)
trips = st.tuples(st.floats(0, 2), st.floats(0, 1))
"""How long a round trip takes and at which part of it the server looks at its clock."""


def sample(at: float, trip: float, share: float, base: float) -> Sample:
    return Sample(sent=at, received=at + trip, server=at + trip * share + base)


def estimates(base: float, drawn: Sequence[tuple[float, float]], kept: OffsetFilter) -> list[float]:
    return [kept.add(sample(at, trip, share, base)) for at, (trip, share) in enumerate(drawn)]


@given(bases, st.lists(trips, min_size=1, max_size=20))
def test_an_estimate_is_off_by_half_of_the_shortest_trip_at_most(
    base: float, drawn: list[tuple[float, float]]
) -> None:
    for number, estimate in enumerate(estimates(base, drawn, OffsetFilter()), 1):
        shortest = min(trip for trip, _ in drawn[max(0, number - KEPT) : number])
        assert abs(estimate - base) <= shortest / 2 + 1e-6


@given(bases, st.lists(trips, min_size=1, max_size=10), trips, st.sampled_from((-1, 1)), st.floats(0.01, 1e5))
def test_a_step_of_the_servers_clock_is_followed_at_once(
    base: float, drawn: list[tuple[float, float]], after: tuple[float, float], sign: int, beyond: float
) -> None:
    kept = OffsetFilter()
    estimates(base, drawn, kept)
    trip, share = after
    step = sign * (trip + min(trip for trip, _ in drawn[-KEPT:]) + beyond)
    stepped = kept.add(sample(100, trip, share, base + step))
    assert abs(stepped - (base + step)) <= trip / 2 + 1e-6


def test_the_shortest_trip_of_the_last_few_is_believed() -> None:
    kept = OffsetFilter()
    assert kept.add(sample(0, 0.010, 1.0, 5.0)) == pytest.approx(5.005)
    assert kept.add(sample(1, 0.001, 0.5, 5.0)) == pytest.approx(5.0)
    for at in range(KEPT - 1):
        assert kept.add(sample(2 + at, 0.010, 0.0, 5.0)) == pytest.approx(5.0)
    assert kept.add(sample(99, 0.010, 0.0, 5.0)) == pytest.approx(4.995)
