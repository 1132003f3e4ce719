"""A nats-server that is killed and comes back on the same data while jobs run."""

import time

import anyio
import pytest
from pydantic import JsonValue

from natsched import Client, ExecutionStatus, Once
from natsched.jetstream.server import EmbeddedServer
from tests.e2e.journal import Absence, Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import Series, soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

RECOVERY = 20
"""Seconds after the server's return by which all is made up for."""


async def test_a_short_outage_interrupts_no_run_and_doubles_none(
    server: EmbeddedServer, client: Client, replicas: Fleet, journal: Journal
) -> None:
    began, back = await _outage(1.5, server, client, replicas, journal)
    journal.check(may_overlap="free")
    assert {one.how for one in journal.attempts()} == {"end"}
    _tell(journal, began, back)


@pytest.mark.parametrize("seconds", [5.0, 8.0])
async def test_an_outage_longer_than_leases_ends_in_recovery_without_a_restart(
    server: EmbeddedServer, client: Client, replicas: Fleet, journal: Journal, seconds: float
) -> None:
    began, back = await _outage(seconds, server, client, replicas, journal)
    absences = [Absence(pid=replica.pid, at=began, back=back + 1, frozen=False) for replica in replicas.replicas]
    journal.check(*absences, may_overlap="free")
    for one in journal.attempts():
        assert one.how == "end" or one.within(absences[0]) or one.within(absences[1])
    _tell(journal, began, back)


async def _outage(
    seconds: float, server: EmbeddedServer, client: Client, replicas: Fleet, journal: Journal
) -> tuple[float, float]:
    """Kill the server while jobs run, bring it back and see that no instant is lost; return when that was."""
    await replicas.start("a", "b")
    lasts: JsonValue = [seconds + 2, 0.2]
    await client.submit_job("long", Once(soon(0.5)), handler="work", payload={"lasts": lasts})
    number = int((seconds + 4) / 0.5)
    free = Series(prefix="free", jobs=20, period=0.5, number=number, lasts=0.05, options={"overlap": "allow"})
    single = Series(prefix="single", jobs=20, period=0.5, number=number, lasts=0.05, first=free.first)
    await free.ensure(client)
    await single.ensure(client)
    await until(lambda: len(journal.attempts()) > 80 and journal.running("long"), "jobs run", 5)

    server.kill()
    began = time.time()
    await anyio.sleep(seconds)
    await server.start_async()
    back = time.time()
    for series in (free, single):
        await series.done(client, limit=RECOVERY)
    await until(lambda: journal.ended("long"), "the long run ends", RECOVERY)

    assert await free.left_out(client, journal) == {}
    for told in (await single.left_out(client, journal)).values():
        for record in told:
            assert record.status is ExecutionStatus.SKIPPED
            assert began - 1 < record.due.timestamp() < back + RECOVERY
    assert all(replica.popen.poll() is None for replica in replicas.replicas)
    return began, back


def _tell(journal: Journal, began: float, back: float) -> None:
    after = [one for one in journal.attempts() if one.started > back]
    lag = max(one.lag for one in after if one.due.timestamp() > back)
    tries = [f"{one.attempt} {one.how}" for one in journal.attempts("long")]
    print(f"out for {back - began:.1f} s; the first run {min(one.started for one in after) - back:.2f} s ", end="")
    print(f"after; the largest lag of what fell due after: {lag:.2f} s; the long run: {tries}")
