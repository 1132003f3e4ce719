"""The minimal history: what is left of a drawing when all is left out that the broken promise does not need."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation.checking import problems
from tests.simulation.drawing import Drawn, Step
from tests.simulation.world import Simulation


def broken(drawn: Drawn) -> list[str]:
    """Make it happen and say what broke a promise; an error of the simulated is one, too."""
    simulation = Simulation(drawn)
    try:
        journal = simulation.run()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return [f"{type(error).__name__}: {error}"]
    return list(problems(journal, drawn))


def kind_of(problem: str) -> str:
    """Return which promise it is."""
    return problem.partition(":")[0]


def shrink(drawn: Drawn, found: Sequence[str]) -> Drawn:
    """Leave out all steps without which some of what was found is found as well; then shorten what lasts."""
    kinds = {kind_of(problem) for problem in found}

    def fails(steps: Sequence[Step]) -> bool:
        return any(kind_of(problem) in kinds for problem in broken(replace(drawn, steps=tuple(steps))))

    steps = _fewest(list(drawn.steps), fails)
    smaller = replace(drawn, steps=tuple(steps))
    for simpler in (
        replace(smaller, provisioned=True),
        replace(smaller, offsets={}),
        replace(smaller, firing_delay=0.0),
    ):
        if simpler != smaller and any(kind_of(problem) in kinds for problem in broken(simpler)):
            smaller = simpler
            break
    return smaller


def _fewest(steps: list[Step], fails: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """Leave out half of them, a quarter and so on, down to one by one, as long as it fails."""
    size = max(1, len(steps) // 2)
    while True:
        at, is_smaller = 0, False
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(fewer):
                steps, is_smaller = fewer, True
            else:
                at += size
        if size > 1:
            size = max(1, size // 2)
        elif not is_smaller:
            return steps
