"""Replicas that are killed or suspended while they run jobs."""

import signal
import time

import pytest
from pydantic import JsonValue

from natsched import Client, ExecutionStatus, Interval, Once
from tests.e2e.journal import Absence, Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import Series, soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

LEASE = 5.0
SLACK = 10.0
PROMPT = 0.75
"""Seconds of lag that a machine of two cores, full of other tests, may show."""


async def test_a_kill_loses_nothing_and_delays_only_what_it_touched(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b", "c")
    free = Series(
        prefix="free", jobs=30, period=0.8, number=16, lasts=0.05, first=soon(2), options={"overlap": "allow"}
    )
    single = Series(prefix="single", jobs=30, period=0.8, number=16, lasts=0.05, first=free.first)
    await free.ensure(client)
    await single.ensure(client)
    await client.submit_job("long", Once(soon(1)), handler="work", payload={"lasts": [60, 0.2]})
    (long,) = await until(lambda: journal.running("long"), "the long run starts", 5)
    await until(lambda: len(journal.attempts()) > 150, "some short runs", 8)
    killed = replicas.of(long.pid).kill()

    (second,) = await until(lambda: journal.ended("long"), "another replica ends the long run", LEASE + SLACK)
    assert (second.attempt, second.execution) == (2, long.execution)
    assert 1 < second.started - killed < LEASE + SLACK
    for series in (free, single):
        await series.done(client, limit=LEASE + SLACK)
    journal.check(Absence(pid=long.pid, at=killed), may_overlap="free")

    assert await free.left_out(client, journal) == {}
    skipped = [record for told in (await single.left_out(client, journal)).values() for record in told]
    assert {record.status for record in skipped} <= {ExecutionStatus.SKIPPED}
    late = {(one.job, one.due) for one in journal.attempts() if one.lag > PROMPT and one.job != "long"}
    for job, due in late | {(record.job, record.due) for record in skipped}:
        made_up = killed + LEASE + 2 * SLACK  # taken over, and then one late instant after another
        assert killed - PROMPT < due.timestamp() < made_up, f"{job} was not touched then"
    touched = {job for job, _ in late} | {record.job for record in skipped}
    assert len(touched) <= 45, "a third of the 60 jobs were in the hands of the dead, and this machine is full"
    print(f"takeover {second.started - killed:.2f} s; {len(touched)} of 60 jobs touched, up to ", end="")
    print(f"{max(journal.lags().values()):.2f} s late; the others {untouched(journal, touched):.3f} s at most")


def untouched(journal: Journal, touched: set[str]) -> float:
    """Return the largest lag of the other jobs."""
    return max(lag for job, lag in journal.lags().items() if job not in touched and job != "long")


async def test_a_suspended_replica_that_wakes_up_gives_up_its_runs_and_works_on(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b", NATSCHED_SCHEDULER__LEASE_TTL="3s")
    for job, lasts in (("long", 60), ("brief", 3)):
        payload: JsonValue = {"lasts": [lasts, 1]}
        for index in range(5):  # so many that one replica gets some of both
            await client.submit_job(f"{job}.{index}", Once(soon(0.5)), handler="work", payload=payload)
    await until(lambda: len(journal.running()) == 10, "all run", 5)
    frozen = next(replica for replica in replicas.replicas if _kinds(journal, replica.pid) == {"long", "brief"})
    other = next(replica for replica in replicas.replicas if replica is not frozen)
    firsts = {one.job: one for one in journal.running() if one.pid == frozen.pid}
    at = frozen.suspend()
    await until(lambda: _seconds(journal) == firsts.keys(), "all are taken over", 3 + SLACK)
    frozen.send(signal.SIGCONT)
    await frozen.said("lease_lost", 2)
    await until(lambda: firsts.keys() <= {one.job for one in journal.ended() if one.attempt == 2}, "they end", 5)

    journal.check(Absence(pid=frozen.pid, at=at, back=time.time()))
    assert {one.how for one in firsts.values() if one.job.startswith("long")} == {"cancelled"}
    for job in firsts:
        records = {record.attempt: record for record in await client.executions(job)}
        assert records.keys() == {2}, "who lost its lease writes nothing"
        assert (records[2].status, records[2].replica) == (ExecutionStatus.OK, other.name)
        assert (await client.get_job(job)).counts == {ExecutionStatus.OK: 1}

    other.kill()
    await client.submit_job("next", Once(soon(0.2)), handler="work")
    (ended,) = await until(lambda: journal.ended("next"), "the woken replica works", LEASE + SLACK)
    assert ended.pid == frozen.pid
    takeovers = [one.started - at for one in journal.attempts() if one.attempt == 2 and one.job in firsts]
    print(f"taken over {min(takeovers):.2f} to {max(takeovers):.2f} s after the suspension; the lease lasts 3 s")


def _kinds(journal: Journal, pid: int) -> set[str]:
    """Return the kinds of jobs that a process runs."""
    return {one.job.partition(".")[0] for one in journal.running() if one.pid == pid}


def _seconds(journal: Journal) -> set[str]:
    """Return the jobs that run for a second time."""
    return {one.job for one in journal.attempts() if one.attempt == 2}


async def test_an_at_most_once_run_whose_replica_is_killed_is_lost_and_never_run_again(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    hasty = {"NATSCHED_SCHEDULER__RECONCILER_INTERVAL": "1s", "NATSCHED_SCHEDULER__RECONCILER_GRACE_PERIOD": "1s"}
    (a,) = await replicas.start("a", **hasty)
    payload: JsonValue = {"lasts": [60, 0.1]}
    await client.submit_job("once", Once(soon(0.2)), handler="work", payload=payload, delivery="at_most_once")
    (first,) = await until(lambda: journal.running("once"), "it runs", 5)
    handle = client.execution("once", first.execution)
    await client.submit_job("every", Interval(milliseconds=500), handler="work", delivery="at_most_once")
    await replicas.start("b", **hasty)
    killed = a.kill()
    record = await handle.wait(LEASE + 2 * SLACK)
    found = time.time()
    assert (record.status, record.attempt) == (ExecutionStatus.LOST, 1)
    before = len(journal.attempts("every"))
    await until(lambda: len(journal.attempts("every")) > before + 6, "other jobs of the kind go on", 10)
    view = await client.get_job("once")
    assert (view.running, view.counts) == ((), {ExecutionStatus.LOST: 1})
    assert len(journal.attempts("once")) == 1
    journal.check(Absence(pid=a.pid, at=killed))
    print(f"recorded as lost {found - killed:.2f} s after the kill")
