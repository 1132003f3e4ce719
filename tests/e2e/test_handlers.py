"""Handlers in threads, and handlers that only some replicas have."""

import pytest

from natsched import Client, ExecutionStatus, Interval, Once
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import Series, soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_a_handler_in_a_thread_is_left_behind_at_its_timeout(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", NATSCHED_REPLICA__THREAD_LIMIT="2")
    await client.submit_job("slow", Once(soon(0.2)), handler="thread", timeout=0.3, payload={"lasts": 2})
    quick = Interval(milliseconds=500)
    await client.submit_job("quick", quick, handler="thread", timeout=5, payload={"lasts": 0.05})
    slow = await until(lambda: journal.attempts("slow"), "the slow one starts", 5)
    await until(lambda: len(journal.ended("quick")) >= 4, "the other thread works on", 8)
    await until(lambda: journal.ended("slow"), "the thread ends by itself", 5)
    (record,) = await client.executions("slow")
    assert record.status is ExecutionStatus.TIMED_OUT
    assert "0.3 s" in (record.error or "")
    assert 0.29 < (record.duration or 0) < 1.5
    assert len(slow) == len(journal.attempts("slow")) == 1
    journal.check()
    assert max(journal.lags("quick").values()) < 0.5


async def test_a_replica_without_the_handler_leaves_the_run_to_one_that_has_it(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    (without,) = await replicas.start("without", app="other")
    await client.submit_job("waits", Once(soon(0.2)), handler="work")
    await without.said("no_handler", 5)
    (with_it,) = await replicas.start("with-it")
    (waited,) = await until(lambda: journal.ended("waits"), "it runs once its handler is there", 25)
    series = Series(prefix="some", jobs=20, period=2, number=3)
    await series.ensure(client)
    await series.done(client, limit=8)
    journal.check()
    assert await series.left_out(client, journal) == {}
    assert {one.pid for one in journal.attempts()} == {with_it.pid}
    print(f"waited {waited.lag:.1f} s; the largest lag with both up: {max(journal.lags('some').values()):.2f} s")
