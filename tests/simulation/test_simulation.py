"""Drawn histories of replicas, servers and clients to which all befalls that can: no promise is broken, and the rules
of the protocol are what keeps them: without any one of them some history breaks one."""

import itertools

import pytest

from tests.simulation.checking import problems
from tests.simulation.mutations import MUTATIONS
from tests.simulation.world import Simulation

SEEDS = range(36)
TOGETHER = 6
BITES = 40
"""Within how many seeds a rule that is switched off has to be noticed."""


@pytest.mark.parametrize("first", SEEDS[::TOGETHER])
def test_no_drawn_history_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + TOGETHER):
        simulation = Simulation(seed, rough=seed % 3 == 0)
        found = list(problems(simulation.run(), simulation.options))
        assert not found, f"seed {seed}: {len(found)} problems, such as {found[0]}"


def test_a_seed_is_a_history_bit_for_bit() -> None:
    first, second = Simulation(7).run(), Simulation(7).run()
    assert first.lines() == second.lines()
    assert first.records == second.records
    assert len(first.calls) > 50
    assert Simulation(8).run().lines() != first.lines()


@pytest.mark.parametrize("rule", sorted(MUTATIONS))
def test_without_a_rule_of_the_protocol_some_history_breaks_a_promise(rule: str) -> None:
    mutation, first = MUTATIONS[rule]
    for seed in itertools.chain([first], range(BITES)):
        simulation = Simulation(seed, rough=True)
        try:
            with mutation():
                journal = simulation.run()
        except Exception as error:  # noqa: BLE001 - a replica that cannot go on is noticed, too
            print(f"seed {seed} raised {error!r}")
            return
        if found := list(problems(journal, simulation.options)):
            print(f"seed {seed}: {found[0]}")
            return
    raise AssertionError(f"nobody missed {rule} in {BITES} seeds")
