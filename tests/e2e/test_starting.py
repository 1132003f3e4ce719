"""Replicas that start: at once, beside one that dies, and again and again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import anyio
import pytest

from natsched import Client, ExecutionStatus
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer
from tests.cli.running import environment
from tests.e2e.app import TICK
from tests.e2e.journal import Attempt, Journal
from tests.e2e.processes import Fleet, until
from tests.servers import options_for

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

OFTEN = timedelta(milliseconds=500)
HOLDERS_LEASE = 2.0
LIFE = 0.7
"""Seconds for which a replica is left at work before it is restarted."""


async def test_two_replicas_that_start_at_once_on_an_empty_server_agree(
    server: EmbeddedServer, replicas: Fleet, journal: Journal
) -> None:
    both = await replicas.start("a", "b", app="declaring")
    await until(lambda: len(journal.attempts("declared.often")) >= 5, "the declared job fires", 10)
    _check_chain(journal.attempts("declared.often"), OFTEN)
    journal.check()
    assert await _assets(server) == {
        "SCHEDULER": {"scheduler-worker", "scheduler-webhooks"},
        "KV_SCHEDULER_JOBS": set(),
        "KV_SCHEDULER_EXECUTIONS": set(),
        "KV_SCHEDULER_LOCKS": set(),
    }
    outcomes = [line["outcome"] for replica in both for line in replica.lines("job_declared")]
    assert sorted(outcomes) == ["created", "created", "unchanged", "unchanged"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_replicas_start_within_its_lease_although_the_holder_of_the_lock_dies(
    server: EmbeddedServer, replicas: Fleet, journal: Journal, number: signal.Signals
) -> None:
    names = {
        "NATSCHED_SCHEDULER__STREAM_NAME": "xS",
        "NATSCHED_SCHEDULER__SUBJECT_PREFIX": "x",
        "NATSCHED_SCHEDULER__JOB_BUCKET": "xJ",
        "NATSCHED_SCHEDULER__EXEC_BUCKET": "xE",
        "NATSCHED_SCHEDULER__LOCK_BUCKET": "xL",
    }
    with _holder_of_the_lock(server.url, "x") as holder:
        two = [replicas.launch(name, app="declaring", **names) for name in "ab"]
        for replica in two:
            await replica.said("starting")
        with anyio.move_on_after(1):  # they wait for as long as the holder renews
            await two[0].ready()
        assert not [line for replica in two for line in replica.lines("ready")]
        os.kill(holder.pid, number)
        died = time.time()
        with anyio.fail_after(HOLDERS_LEASE + 2):
            for replica in two:
                await replica.ready()
        print(
            f"both ready {time.time() - died:.2f} s after the death of a holder with a lease of {HOLDERS_LEASE:g} s"
        )
    await until(lambda: len(journal.attempts("declared.often")) >= 3, "the declared job fires", 10)
    _check_chain(journal.attempts("declared.often"), OFTEN)
    journal.check()


async def test_a_job_ensured_at_every_restart_more_often_than_its_period_fires_on_its_phase(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    (replica,) = await replicas.start("a", app="declaring")
    anchor = (await client.get_job("declared.tick")).document.spec.anchor
    restarts = 0
    with anyio.fail_after(6 * TICK):
        while len(journal.ended("declared.tick")) < 3:
            await anyio.sleep(LIFE)
            replica.send(signal.SIGTERM)
            assert await replica.ended() == 0
            (replica,) = await replicas.start("a", app="declaring")
            restarts += 1
            assert [line["outcome"] for line in replica.lines("job_declared")] == ["unchanged", "unchanged"]
    period = timedelta(seconds=TICK)
    ticks = journal.attempts("declared.tick")
    late = await client.executions("declared.tick", missed=True)  # a start that took longer than a tick
    left_out = [record.first + period * turn for record in late if record.first for turn in range(record.number)]
    dues = sorted([one.due for one in ticks] + left_out)
    assert dues == [anchor + period * turn for turn in range(1, len(dues) + 1)]
    assert restarts >= len(ticks), "it was to restart more often than it fires"
    journal.check()
    with anyio.fail_after(10):  # a handler tells the journal before its end is in the document
        view = await client.get_job("declared.tick")
        while view.counts != {ExecutionStatus.OK: len(ticks)}:
            await anyio.sleep(0.05)
            view = await client.get_job("declared.tick")
    assert view.generation == 1
    lags = ", ".join(f"{one.lag:.3f}" for one in ticks)
    print(f"{restarts} restarts; lags {lags} s")


def _check_chain(attempts: Sequence[Attempt], period: timedelta) -> None:
    """Check that there is one chain: one execution for each instant, none left out."""
    dues = sorted({one.due for one in attempts})
    assert len(attempts) == len(dues)
    assert {later - earlier for earlier, later in pairwise(dues)} == {period}


async def _assets(server: EmbeddedServer) -> dict[str, set[str]]:
    """Return the streams with their durable consumers."""
    async with connect(options_for(server)) as connection:
        streams = (await call(connection, "STREAM.NAMES"))["streams"]
        found: dict[str, set[str]] = {}
        for stream in streams:
            consumers = (await call(connection, f"CONSUMER.LIST.{stream}"))["consumers"]
            found[stream] = {one["name"] for one in consumers if one["config"].get("durable_name")}
        return found


@contextmanager
def _holder_of_the_lock(url: str, prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the once lock with half of the work done."""
    command = [sys.executable, "-m", "tests.jetstream.dying_holder", url, prefix]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "halfway\n"
            yield process
        finally:
            process.kill()
