"""Run trials: `python -m tests.faults --seconds 120 --seed 7 --trials 3 --servers 3`.

Each has a seed of its own, which draws the jobs, what a client asks for, and the sequence of troubles; times are the
machine's, so the same seed is the same sequence and not the same history. The exit code is 1 if a promise was broken;
then the logs and journals are kept.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import anyio

from tests.cli.running import CHECKOUT
from tests.faults.report import report, sequence
from tests.faults.trial import Options, trial
from tests.faults.troubles import Kind


def main() -> int:
    """Run them and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for how long troubles are drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=1, help="with seeds that follow each other")
    parser.add_argument("--servers", type=int, default=1, choices=(1, 3))
    parser.add_argument("--jobs", type=int, default=250)
    parser.add_argument("--only", nargs="+", choices=[kind.name.lower() for kind in Kind], help="draw only these")
    parser.add_argument("--upgrade-from", metavar="REVISION", help="the version that the replicas begin as")
    asked = parser.parse_args()
    kinds = [kind for kind in Kind if not asked.only or kind.name.lower() in asked.only]
    failed = 0
    for seed in range(asked.seed, asked.seed + asked.trials):
        folder = Path(tempfile.mkdtemp(prefix=f"natsched-faults-{seed}-"))
        options = Options(
            seed=seed,
            seconds=asked.seconds,
            servers=asked.servers,
            jobs=asked.jobs,
            kinds=kinds,
            older=_tree_of(asked.upgrade_from, folder) if asked.upgrade_from else None,
        )
        outcome = anyio.run(trial, options, folder, backend_options={"use_uvloop": True})
        print(report(outcome), sequence(outcome), sep="\n\n", flush=True)
        if outcome.is_good:
            shutil.rmtree(folder)
        else:
            failed += 1
            print(f"logs and journals: {folder}")
    print(f"{asked.trials} trials, {failed} of them broke a promise")
    return int(failed > 0)


def _tree_of(revision: str, folder: Path) -> Path:
    """Lay out the package as it was at that revision of this checkout."""
    tree = folder / "older"
    tree.mkdir()
    command = ["git", "-C", str(CHECKOUT), "archive", "--format=tar", revision, "natsched", "config"]
    archive = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    return tree


if __name__ == "__main__":
    raise SystemExit(main())
