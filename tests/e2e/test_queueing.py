"""Runs that wait for the one before them, over replicas of which one is killed."""

import time
from itertools import pairwise

import pytest

from natsched import Client, ExecutionStatus, Interval
from tests.e2e.journal import Absence, Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

JOBS = 10
LASTS = 0.7


async def test_queued_runs_never_overlap_and_none_is_stuck_when_a_replica_is_killed(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    (a, b) = await replicas.start("a", "b")
    first = soon(1)
    for number in range(JOBS):
        schedule = Interval(milliseconds=500, start_at=first)
        await client.ensure_job(
            f"q.{number}", schedule, handler="work", payload={"lasts": LASTS}, overlap="queue", max_crashes=9
        )
    await until(lambda: len(journal.ended()) >= 3 * JOBS, "they run", 30)
    assert {one.pid for one in journal.attempts()} == {a.pid, b.pid}, "this machine is too slow for this test"
    a.kill()
    killed = time.time()
    goes_on = killed + 12

    def all_go_on() -> bool:
        return {one.job for one in journal.ended() if one.started > goes_on} == {f"q.{n}" for n in range(JOBS)}

    await until(all_go_on, "every job goes on", 40)
    journal.check(Absence(pid=a.pid, at=killed))
    for record in await client.executions(missed=True, limit=1000):
        assert record.status is ExecutionStatus.COALESCED
    gaps = [
        later.started - earlier.over
        for number in range(JOBS)
        for earlier, later in pairwise(journal.ended(f"q.{number}"))
        if later.started < killed
    ]
    print(f"a queued run starts {sorted(gaps)[len(gaps) // 2] * 1000:.0f} ms (median) after the one before it")
