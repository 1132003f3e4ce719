"""Three servers, three copies of everything, and the leader killed."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from natsched import Client
from natsched.errors import BackendError
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer
from tests.e2e.conftest import connected
from tests.e2e.journal import Absence, Journal
from tests.e2e.processes import fleet, until
from tests.e2e.series import Series
from tests.servers import options_for, run_cluster

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

STREAMS = ("SCHEDULER", "KV_SCHEDULER_JOBS", "KV_SCHEDULER_EXECUTIONS", "KV_SCHEDULER_LOCKS")
ELECTION = 25.0
"""Seconds for which jobs may be late after a leader's death."""


async def test_the_leader_is_killed_and_comes_back_and_jobs_go_on(tmp_path: Path, journal: Journal) -> None:
    async with run_cluster(tmp_path) as nodes:
        urls = [node.url for node in nodes]
        with fleet(tmp_path, *urls, NATSCHED_SCHEDULER__REPLICAS="3") as replicas:
            two = await replicas.start("a", "b")
            async with connected(*urls, scheduler__replicas=3) as client:
                killed = await _kill_the_leader_at_work(nodes, client, journal)
            absences = [Absence(pid=one.pid, at=killed, back=killed + ELECTION, frozen=False) for one in two]
            journal.check(*absences, may_overlap="free")
            assert all(replica.popen.poll() is None for replica in two)


async def _kill_the_leader_at_work(nodes: Sequence[EmbeddedServer], client: Client, journal: Journal) -> float:
    """Kill the leader of the hints' stream while jobs run, and return when."""
    free = Series(prefix="free", jobs=20, period=0.5, number=24, lasts=0.05, options={"overlap": "allow"})
    await free.ensure(client)
    for stream in STREAMS:
        state = await _state(nodes, stream)
        assert (state["config"]["num_replicas"], len(state["cluster"]["replicas"])) == (3, 2)
    leader = await until(lambda: _leader(nodes), "there is a leader", 5)
    await until(lambda: len(journal.attempts("free")) > 100, "jobs run", 10)
    leader.kill()
    killed = time.time()
    others = [node for node in nodes if node is not leader]
    elected = await until(lambda: _leader(others), "another is elected", ELECTION, probe=0.2)
    assert elected is not leader
    await leader.start_async()
    await free.done(client, limit=ELECTION)
    assert await free.left_out(client, journal) == {}
    for stream in STREAMS:
        await until(partial(_is_whole, nodes, stream), f"{stream} is whole again", 10)
    late = [one for one in journal.attempts("free") if one.lag > 1]
    assert all(killed - 1 < one.due.timestamp() and one.lag < ELECTION for one in late)
    print(f"the largest lag: {max(journal.lags('free').values()):.2f} s; {len(late)} runs more than 1 s late")
    return killed


async def _state(nodes: Sequence[EmbeddedServer], stream: str) -> dict[str, Any]:
    async with connect(options_for(*nodes)) as connection:
        return dict(await call(connection, f"STREAM.INFO.{stream}", timeout=1))


async def _leader(nodes: Sequence[EmbeddedServer]) -> EmbeddedServer | None:
    """Return the node that leads the hints' stream; None while none does."""
    try:
        name = (await _state(nodes, "SCHEDULER"))["cluster"].get("leader")
    except BackendError:
        name = None
    return next((node for node in nodes if node.options.name == name), None)


async def _is_whole(nodes: Sequence[EmbeddedServer], stream: str) -> bool:
    """Whether all copies are there and have everything."""
    copies = (await _state(nodes, stream))["cluster"]["replicas"]
    return len(copies) == 2 and all(copy["current"] and not copy.get("offline") for copy in copies)
