"""Drawn histories of replicas, servers and clients to which all befalls that can: no promise is broken, and the rules
of the protocol are what keeps them: without any one of them some history breaks one.
"""

import itertools
from dataclasses import replace

import pytest

from tests.simulation.checking import problems
from tests.simulation.drawing import TROUBLES, draw
from tests.simulation.mutations import MUTATIONS
from tests.simulation.shrinking import broken, shrink
from tests.simulation.world import Simulation

SEEDS = range(200)
TOGETHER = 10
BITES = 60
"""Within how many seeds a rule that is switched off has to be noticed, should its own seed not notice any more."""


@pytest.mark.parametrize("first", SEEDS[::TOGETHER])
def test_no_drawn_history_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + TOGETHER):
        found = broken(draw(seed))
        assert not found, f"seed {seed}: {len(found)} problems, such as {found[0]}"


def test_a_seed_is_a_history_bit_for_bit() -> None:
    first, second = Simulation(draw(7)).run(), Simulation(draw(7)).run()
    assert first.lines() == second.lines()
    assert first.records == second.records
    assert first.ledger.written == second.ledger.written
    assert Simulation(draw(8)).run().lines() != first.lines()


@pytest.mark.parametrize("rule", sorted(MUTATIONS))
def test_without_a_rule_of_the_protocol_some_history_breaks_a_promise(rule: str) -> None:
    mutation = MUTATIONS[rule]
    for seed in itertools.chain([mutation.seed], () if mutation.steps else SEEDS[:BITES]):
        drawn = mutation.draw(seed)
        with mutation.switched_off():
            found = broken(drawn)
        if found:
            print(f"seed {seed}: {found[0]}")
            assert not broken(drawn), "it is broken with the rule as well"
            return
    raise AssertionError(f"nobody missed {rule}")


def test_a_broken_history_is_told_in_as_few_steps_as_it_takes() -> None:
    drawn = draw(0)
    with MUTATIONS["overlap at a claim"].switched_off():
        smaller = shrink(drawn, broken(drawn))
        assert 0 < len(smaller.steps) < len(drawn.steps)
        assert broken(smaller)
        for step in smaller.steps:
            fewer = replace(smaller, steps=tuple(one for one in smaller.steps if one is not step))
            kinds = {problem.partition(":")[0] for problem in broken(fewer)}
            assert "overlapping" not in kinds


def test_what_befalls_is_what_was_drawn() -> None:
    drawn = draw(3, kinds=list(TROUBLES))
    journal = Simulation(drawn).run()
    assert journal.befallen
    assert all(step in drawn.steps for _, _, step in journal.befallen)
    assert not list(problems(journal, drawn))
