"""What an honest scheduler leaves behind has no finding; one planted fault has one of its kind at its instant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natsched.testing import Kind, check
from tests.testing.drawing import END, model_of
from tests.testing.planting import PLANTS, Plant, planted

seeds = st.integers(0, 1_000_000)


@settings(max_examples=120, deadline=None)
@given(seed=seeds)
def test_nothing_is_found_where_every_promise_was_kept(seed: int) -> None:
    assert check(model_of(seed).run(END)) == ()


@pytest.mark.parametrize(("kind", "plant"), PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
@settings(max_examples=20, deadline=None)
@given(seed=seeds, place=seeds)
def test_a_planted_fault_is_found_by_its_kind(kind: Kind, plant: Plant, seed: int, place: int) -> None:
    history, due = planted(plant, seed, place)
    found = check(history)
    assert (kind, due) in {(finding.kind, finding.due) for finding in found}, found
