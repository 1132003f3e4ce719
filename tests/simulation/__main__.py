"""Run as many seeds as asked: `python -m tests.simulation 1000`; from a first one `--from`, `--without` a rule.

What breaks a promise is printed with its seed and the history of its job, and the exit code is 1.
"""

import argparse
import logging
import time

from tests.simulation.checking import problems
from tests.simulation.mutations import MUTATIONS
from tests.simulation.world import Simulation


def main() -> int:
    """Run them and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=100)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--without", choices=sorted(MUTATIONS))
    parser.add_argument("--history", action="store_true", help="print the whole history of a seed that fails")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began, calls, mishaps, failed = time.monotonic(), 0, 0, 0
    for seed in range(asked.first, asked.first + asked.number):
        simulation = Simulation(seed)
        if asked.without:
            with MUTATIONS[asked.without][0]():
                journal = simulation.run()
        else:
            journal = simulation.run()
        calls, mishaps = calls + len(journal.calls), mishaps + len(journal.mishaps)
        found = list(problems(journal, simulation.options))
        if found:
            failed += 1
            print(f"seed {seed}: {len(found)} problems")
            print("\n".join(found[:5]))
            if asked.history:
                print("\n".join(journal.lines()))
    seconds = time.monotonic() - began
    what = f"{asked.number} seeds, {calls} runs checked, {mishaps} mishaps"
    print(f"{what}, {failed} seeds broke a promise, {seconds:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
