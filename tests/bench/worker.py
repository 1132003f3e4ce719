"""The replica under measurement: `python -m tests.bench.worker URL`, told by lines on its standard input.

`reset` begins to count, `report` prints what was counted, `sweep` runs one pass of the reconciler.
"""

import json
import resource
import sys
import time
from array import array
from collections import Counter
from itertools import pairwise
from pathlib import Path

import anyio
import uvloop

from natsched.core.executions import ExecutionStatus
from natsched.daemon.building import build_replica
from natsched.daemon.events import Event, RunEnded, RunLeftOut, RunStarted, Swept
from natsched.daemon.tuning import tune_memory
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from natsched.wiring import open_backend
from tests.bench.setting import settings

registry = Registry()


@registry.handler("bench")
async def bench(_: Context) -> None:
    """Do nothing: what is measured is the scheduler."""


class Figures:
    """Counts what the replica says."""

    def __init__(self) -> None:
        self._sweeps: list[Swept] = []
        self._swept = anyio.Event()
        self.reset()

    def reset(self) -> None:
        self.lags = array("d")
        self.runs: Counter[tuple[str, float]] = Counter()
        self.left_out: Counter[str] = Counter()
        self.failed = 0
        self.cpu = time.process_time()
        self.machine = _machine()
        self.since = time.monotonic()

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.lags.append(event.lag)
                self.runs[event.job, event.due.timestamp()] += 1
            case RunLeftOut():
                self.left_out[event.record.status.value] += event.record.number
            case RunEnded():
                self.failed += event.record.status is not ExecutionStatus.OK
            case Swept():
                self._sweeps.append(event)
                self._swept.set()

    async def next_sweep(self) -> Swept:
        """Wait for the sweep that ends next."""
        self._swept = anyio.Event()
        await self._swept.wait()
        return self._sweeps[-1]

    def report(self) -> dict[str, object]:
        lags = sorted(self.lags)
        stolen, whole = (now - then for now, then in zip(_machine(), self.machine, strict=True))
        seconds = time.monotonic() - self.since
        return {
            "runs": len(lags),
            "runs_per_second": round(len(lags) / seconds, 1),
            "seconds": round(seconds, 2),
            **{f"p{name}_ms": _quantile(lags, share) for name, share in QUANTILES.items()},
            "early": sum(lag < 0 for lag in lags),
            "twice": sum(number > 1 for number in self.runs.values()),
            "gaps": self._gaps(),
            "left_out": dict(self.left_out),
            "failed": self.failed,
            "cpu_us_per_run": round((time.process_time() - self.cpu) / max(1, len(lags)) * 1e6, 1),
            "stolen_percent": round(100 * stolen / max(1, whole), 1),
        }

    def _gaps(self) -> int:
        """Count the instants between a job's first and last run at which it did not run."""
        dues: dict[str, list[float]] = {}
        for job, due in self.runs:
            dues.setdefault(job, []).append(due)
        gaps = 0
        for times in dues.values():
            times.sort()
            steps = [later - earlier for earlier, later in pairwise(times)]
            if steps:
                period = min(steps)
                gaps += sum(round(step / period) - 1 for step in steps)
        return gaps


QUANTILES = {"50": 0.5, "99": 0.99, "999": 0.999, "100": 1.0}


def _quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(url: str) -> None:
    began = time.monotonic()
    figures = Figures()
    chosen = settings(url)
    async with open_backend(chosen) as opened, anyio.create_task_group() as tasks:
        replica = build_replica(chosen, opened, registry, (figures.observe,))
        await tasks.start(replica.run)
        tune_memory()
        say(ready_seconds=round(time.monotonic() - began, 3), rss_mb=_rss())
        async for line in anyio.wrap_file(sys.stdin):
            match line.strip():
                case "reset":
                    figures.reset()
                case "report":
                    say(**figures.report(), rss_mb=_rss())
                case "swept":
                    swept = await figures.next_sweep()
                    say(jobs=swept.jobs, repairs=swept.repairs, sweep_seconds=round(swept.seconds, 3))
        replica.stop()


def _machine() -> tuple[int, int]:
    """Return what the host took from this machine's processors and all their time, in ticks (Linux; else 0)."""
    try:
        ticks = [int(tick) for tick in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0, 0
    return ticks[7], sum(ticks)


def _rss() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
