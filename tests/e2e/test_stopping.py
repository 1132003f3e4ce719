"""Replicas that are told to stop while they run jobs."""

import signal

import pytest

from natsched import Client, ExecutionStatus, Once
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import Series, soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

PROMPT = 0.75


async def test_sigterm_lets_runs_end_and_hands_the_rest_over_at_once(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b")
    await client.submit_job("long", Once(soon(0.5)), handler="work", payload={"lasts": [3, 60]})
    (long,) = await until(lambda: journal.running("long"), "the long run starts", 5)
    a = replicas.of(long.pid)
    short = Series(
        prefix="short", jobs=40, period=0.4, number=12, lasts=0.1, first=soon(0.7), options={"overlap": "allow"}
    )
    await short.ensure(client)
    await until(lambda: len({one.pid for one in journal.attempts("short")}) == 2, "both run short ones", 5)
    assert journal.running("long"), "this machine is too slow for this test"
    told = a.send(signal.SIGTERM)

    assert await a.ended() == 0
    assert journal.attempts("long") == [long]
    assert (long.attempt, long.how) == (1, "end")
    await short.done(client, limit=3)
    journal.check(may_overlap="short")
    assert await short.left_out(client, journal) == {}
    assert [one.how for one in journal.attempts()] == ["end"] * len(journal.attempts()), "none was cut off"
    assert max(one.started for one in journal.attempts("short") if one.pid == a.pid) < told + 0.3
    worst = max(journal.lags("short").values())
    assert worst < PROMPT
    assert (await client.get_job("long")).counts == {ExecutionStatus.OK: 1}
    print(f"the largest lag around the stop: {worst:.3f} s")


async def test_a_second_sigterm_ends_runs_at_once_and_they_go_on_elsewhere(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    (a,) = await replicas.start("a")
    await client.submit_job("long", Once(soon(0.2)), handler="work", payload={"lasts": [60, 0.2]})
    (first,) = await until(lambda: journal.running("long"), "the long run starts", 5)
    (b,) = await replicas.start("b")
    a.send(signal.SIGTERM)
    await a.said("stopping", 2)
    told = a.send(signal.SIGTERM)
    assert await a.ended(limit=2) == 0
    (second,) = await until(lambda: journal.ended("long"), "it goes on elsewhere", 2)
    assert (second.attempt, second.pid, second.execution) == (2, b.pid, first.execution)
    assert first.how == "cancelled"
    journal.check()

    async def finished() -> bool:
        return (await client.get_job("long")).state == "completed"

    await until(finished, "the end is written", 2)
    records = {record.attempt: record.status for record in await client.executions("long")}
    assert records == {1: ExecutionStatus.INTERRUPTED, 2: ExecutionStatus.OK}
    print(f"it went on {second.started - told:.3f} s after the second signal")
