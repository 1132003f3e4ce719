"""Run as many seeds as asked: `python -m tests.simulation 1000`; from a first one `--from`, `--without` a rule.

The first seed that breaks a promise is printed with the minimal history that does, and the exit code is 1.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext

from tests.simulation.checking import problems
from tests.simulation.drawing import TROUBLES, Drawn, draw
from tests.simulation.mutations import MUTATIONS
from tests.simulation.shrinking import broken, shrink
from tests.simulation.world import Simulation


def main() -> int:
    """Run them and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=100)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--without", choices=sorted(MUTATIONS), help="a rule of the protocol to switch off")
    parser.add_argument("--rough", action="store_true", help="all kinds of trouble at once")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long the trouble lasts in each history")
    parser.add_argument("--history", action="store_true", help="print all that happens, of each seed")
    parser.add_argument("--all", action="store_true", help="go on after a seed that failed, and shorten none")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with MUTATIONS[asked.without].switched_off() if asked.without else nullcontext():
        return _run(asked)


def _run(asked: argparse.Namespace) -> int:
    began, runs, mishaps, failed, ran = time.monotonic(), 0, Counter[str](), 0, 0
    for seed in range(asked.first, asked.first + asked.number):
        drawn = draw(seed, kinds=list(TROUBLES) if asked.rough else None, seconds=asked.seconds)
        simulation = Simulation(drawn)
        journal = simulation.run()
        ran, runs, mishaps = ran + 1, runs + len(journal.calls), mishaps + journal.mishaps()
        if asked.history:
            print("\n".join(journal.lines()))
        if found := list(problems(journal, drawn)):
            failed += 1
            print(f"seed {seed} breaks {len(found)} promises, such as\n  " + "\n  ".join(found[:3]), flush=True)
            if not asked.all:
                _show(drawn, found)
                break
    print(f"{ran} seeds, {runs} runs checked, {failed} broke a promise, {time.monotonic() - began:.0f} s")
    for what, number in mishaps.most_common():
        print(f"{number:8} {what}")
    return int(failed > 0)


def _show(drawn: Drawn, found: Sequence[str]) -> None:
    """Shorten it and tell what is left."""
    smaller = shrink(drawn, found)
    print(f"\nThese {len(smaller.steps)} of {len(drawn.steps)} steps break it:")
    for step in smaller.steps:
        print(f"  {step}")
    simulation = Simulation(smaller)
    journal = simulation.run()
    left = broken(smaller)
    print("\n" + "\n".join(journal.lines()) + "\n\n" + "\n".join(left))


if __name__ == "__main__":
    raise SystemExit(main())
