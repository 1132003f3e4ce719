"""Replicas that are killed or suspended while they run jobs."""

import signal
import time

import pytest

from natsched import Client, ExecutionStatus, Interval, Once
from tests.e2e.journal import Absence, Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import Series, soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

LEASE = 5.0
SLACK = 3.0
PROMPT = 0.75
"""Seconds of lag that a machine of two cores, full of other tests, may show."""


async def test_a_kill_loses_nothing_and_delays_only_what_it_touched(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b", "c")
    free = Series(prefix="free", jobs=30, period=0.4, number=30, lasts=0.05, options={"overlap": "allow"})
    single = Series(prefix="single", jobs=30, period=0.4, number=30, lasts=0.05, first=free.first)
    await free.ensure(client)
    await single.ensure(client)
    await client.submit_job("long", Once(soon(1)), handler="work", payload={"lasts": [60, 0.2]})
    (long,) = await until(lambda: journal.running("long"), "the long run starts", 5)
    await until(lambda: len(journal.attempts()) > 200, "some short runs", 5)
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
        assert killed - PROMPT < due.timestamp() < killed + LEASE + SLACK, f"{job} was not touched then"
    touched = {job for job, _ in late} | {record.job for record in skipped}
    assert len(touched) <= 40, "a third of the 60 jobs were in the hands of the dead"
    print(f"takeover {second.started - killed:.2f} s; {len(touched)} of 60 jobs touched, up to ", end="")
    print(f"{max(journal.lags().values()):.2f} s late; the others {untouched(journal, touched):.3f} s at most")


def untouched(journal: Journal, touched: set[str]) -> float:
    """Return the largest lag of the other jobs."""
    return max(lag for job, lag in journal.lags().items() if job not in touched and job != "long")


async def test_a_suspended_replica_that_wakes_up_gives_up_its_runs_and_works_on(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    lease = {"NATSCHED_SCHEDULER__LEASE_TTL": "3s"}
    (a,) = await replicas.start("a", **lease)
    for job, lasts in (("long", 60), ("brief", 3)):
        await client.submit_job(job, Once(soon(0.2)), handler="work", payload={"lasts": [lasts, 1.5]})
    await until(lambda: len(journal.running()) == 2, "both run", 5)
    (b,) = await replicas.start("b", **lease)
    assert len(journal.running()) == 2, "this machine is too slow for this test"
    frozen = a.suspend()
    second = await until(lambda: [one for one in journal.attempts() if one.pid == b.pid], "takeovers", 3 + SLACK)
    await until(lambda: len(journal.attempts()) == 4, "both are taken over", SLACK)
    a.send(signal.SIGCONT)
    await a.said("lease_lost", 2)
    await until(lambda: {one.job for one in journal.ended() if one.pid == b.pid} == {"long", "brief"}, "ends", 5)

    journal.check(Absence(pid=a.pid, at=frozen, back=time.time()))
    (first,) = [one for one in journal.attempts("long") if one.pid == a.pid]
    assert first.how == "cancelled"
    for job in ("long", "brief"):
        records = {record.attempt: record for record in await client.executions(job)}
        assert (records[2].status, records[2].replica) == (ExecutionStatus.OK, "b")
        assert 1 not in records, "who lost its lease writes nothing"
        assert (await client.get_job(job)).counts == {ExecutionStatus.OK: 1}

    b.send(signal.SIGTERM)
    assert await b.ended() == 0
    await client.submit_job("next", Once(soon(0.2)), handler="work")
    (ended,) = await until(lambda: journal.ended("next"), "the woken replica works", 5)
    assert ended.pid == a.pid
    print(f"takeover {second[0].started - frozen:.2f} s after the suspension, with a lease of 3 s")


async def test_an_at_most_once_run_whose_replica_is_killed_is_lost_and_never_run_again(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    hasty = {"NATSCHED_SCHEDULER__RECONCILER_INTERVAL": "1s", "NATSCHED_SCHEDULER__RECONCILER_GRACE_PERIOD": "1s"}
    (a,) = await replicas.start("a", **hasty)
    job = {"handler": "work", "payload": {"lasts": [60, 0.1]}, "delivery": "at_most_once"}
    await client.submit_job("once", Once(soon(0.2)), **job)  # type: ignore[arg-type]
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
