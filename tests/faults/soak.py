"""Whether anything grows: `python -m tests.faults.soak --minutes 30`.

Three replicas run jobs that a client keeps changing, and the server is killed and comes back every minute. Memory,
open files and tasks of each replica, those of the server, and the consumers it has, are looked at every few seconds.
What they come to in the last third is compared with the first third after a warm-up; the exit code is 1 if any grew.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import anyio

from natsched import Client, Interval
from natsched.errors import BackendError
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer
from tests.e2e.conftest import connected
from tests.faults.changing import Changer
from tests.faults.jobs import Jobs
from tests.faults.journal import lines
from tests.faults.site import STREAMS, Site, site
from tests.faults.trial import REPLICAS
from tests.servers import options_for

LOOK: Final = timedelta(seconds=5)
DOWN: Final = 2.0
WARM: Final = 0.4
"""The share of the time in which caches fill: the largest keeps the 8,192 specs that a replica wrote last."""

RETENTION: Final = {"NATSCHED_HISTORY__RETENTION": "30s", "NATSCHED_HISTORY__FAILURES_RETENTION": "30s"}
"""Records that go away again: what is kept on purpose grows."""

ALLOWED: Final = {"tasks": (1.0, 5.0), "files": (1.0, 3.0), "consumers": (1.0, 0.0), "memory": (1.05, 4.0)}
ALLOWED_SERVER: Final = {**ALLOWED, "memory": (1.25, 16.0)}
"""Of each: a factor and a number on top. The server's memory comes and goes with its collector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What something came to at first, at last, and at its highest; without enough looks at it that is unknown."""

    whom: str
    what: str
    first: float | None
    last: float | None
    peak: float

    @property
    def is_more(self) -> bool:
        """Whether it grew, or nobody can say."""
        if self.first is None or self.last is None:
            return True
        factor, more = (ALLOWED_SERVER if self.whom == "server" else ALLOWED)[self.what]
        return self.last > self.first * factor + more

    def __str__(self) -> str:
        levels = " -> ".join("unknown" if level is None else f"{level:.1f}" for level in (self.first, self.last))
        return f"{self.whom:10} {self.what:10} {levels}, peak {self.peak:.1f}{'  GREW' * self.is_more}"


@dataclass(slots=True)
class Figures:
    """What was seen: by whom and what, at which time how much."""

    seen: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, whom: str, at: float, values: Mapping[str, float]) -> None:
        for what, value in values.items():
            self.seen[whom, what].append((at, value))

    def growth(self, began: float, ended: float) -> list[Growth]:
        """Compare the last third with the first after a warm-up.

        A level of memory is a median; of the rest it is the least, which is there when nothing runs.
        """
        warm = began + WARM * (ended - began)
        third = (ended - warm) / 3
        found = []
        for (whom, what), values in sorted(self.seen.items()):
            level = median if what == "memory" else min
            first = [value for at, value in values if warm <= at <= warm + third]
            last = [value for at, value in values if at >= ended - third]
            levels = [float(level(part)) if part else None for part in (first, last)]
            peak = max(value for _, value in values)
            found.append(Growth(whom=whom, what=what, first=levels[0], last=levels[1], peak=peak))
        return found


async def soak(folder: Path, *, seconds: float, jobs: int, every: float) -> tuple[Figures, Sequence[str], int, int]:
    """Run for so long; return what was seen, what else was wrong, and the numbers of runs and of outages."""
    figures, outages = Figures(), 0
    async with site(folder, servers=1, replicas=list(REPLICAS)) as up:
        up.special = {name: dict(RETENTION) for name in REPLICAS}
        async with anyio.create_task_group() as tasks:
            for name in REPLICAS:
                tasks.start_soon(up.start, name)
        async with connected(up.client[0].url, nats__ping_interval="2s", nats__request_timeout="2s") as client:
            changer = Changer(client, Jobs(Random(1), None), Random(1), jobs, pause=0.5)
            await changer.create()
            await _look_in_each(client)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(changer.run)
                tasks.start_soon(_watch, up, figures)
                end = time.time() + seconds
                while time.time() < end:
                    await anyio.sleep(max(0, min(every, end - time.time())))
                    if end - time.time() > DOWN:
                        outages += 1
                        await _go_away(up.nodes[0])
                changer.stop()
                await anyio.sleep(LOOK.total_seconds())
                tasks.cancel_scope.cancel()
            wrong = [*changer.wrong, *up.gone, *up.ended()]
    names = {str(replica.pid): name for name, replica in up.replicas.items()}
    runs = 0
    for line in lines(up.journals):
        runs += line["what"] == "begin"
        if line["what"] == "look":
            values = {what: line[what] for what in ("tasks", "files", "memory")}
            figures.add(f"replica {names.get(str(line['pid']), '?')}", line["at"], values)
    return figures, wrong, runs, outages


async def _go_away(node: EmbeddedServer) -> None:
    node.kill()
    await anyio.sleep(DOWN)
    await node.start_async()


async def _look_in_each(client: Client) -> None:
    await client.ensure_job("look", Interval(LOOK), handler="look", scope="all", history="none")


async def _watch(up: Site, figures: Figures) -> None:
    """Look at the server; when it is away, or has just come back, there is nothing to see."""
    while True:
        await anyio.sleep(LOOK.total_seconds())
        try:
            async with connect(options_for(*up.nodes)) as connection:
                states = [await call(connection, f"STREAM.INFO.{stream}", timeout=1) for stream in STREAMS]
        except BackendError:
            continue
        if (pid := up.nodes[0].pid) is not None:
            figures.add("server", time.time(), {**_process(pid), "consumers": _consumers(states)})


def _consumers(states: Sequence[dict[str, Any]]) -> float:
    return float(sum(state["state"]["consumer_count"] for state in states))


def _process(pid: int) -> dict[str, float]:
    folder = Path(f"/proc/{pid}")
    resident = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return {"files": float(len(list((folder / "fd").iterdir()))), "memory": int(resident.split()[1]) / 1024}


def main() -> int:
    """Run it and say what grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--jobs", type=int, default=250)
    parser.add_argument("--every", type=float, default=60, help="seconds between two outages")
    asked = parser.parse_args()
    began, grew = time.time(), False
    with tempfile.TemporaryDirectory(prefix="natsched-soak-") as folder:

        async def run() -> tuple[Figures, Sequence[str], int, int]:
            return await soak(Path(folder), seconds=60 * asked.minutes, jobs=asked.jobs, every=asked.every)

        figures, wrong, runs, outages = anyio.run(run, backend_options={"use_uvloop": True})
    seconds = time.time() - began
    print(
        f"{seconds:.0f} s, {asked.jobs} jobs, {runs} runs ({runs / seconds:.0f}/s), the server away {outages} times"
    )
    for growth in figures.growth(began, began + seconds):
        grew = grew or growth.is_more
        print(growth)
    print(*wrong, sep="\n")
    return int(grew or bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
