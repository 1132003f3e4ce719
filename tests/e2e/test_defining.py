"""Jobs that are defined, changed and removed while replicas are at work."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import anyio
import anyio.to_thread
import pytest
from pydantic import JsonValue

from natsched import Client, JobView, Once
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer
from tests.cli.running import environment
from tests.e2e.conftest import connected
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import soon
from tests.servers import options_for

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

PROCESSES = 20
TRIALS = 30
CLAIMED = 0.25
"""Seconds before its start that a run may be claimed at the earliest, on a busy machine."""


async def test_of_20_processes_that_ensure_one_job_at_once_one_creates_it(
    server: EmbeddedServer, client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b")
    with ExitStack() as stack:
        processes = [stack.enter_context(_ensuring(server.url, number)) for number in range(PROCESSES)]
        assert await _turns(processes, go_on=True) == {'"connected"': PROCESSES}
        assert await _turns(processes, go_on=True) == {'"created"': 1, '"unchanged"': PROCESSES - 1}
        assert await _turns(processes, go_on=False) == {'"created"': 1, '"updated"': PROCESSES - 1}
    views = [await client.get_job(job) for job in ("same", "differing")]
    assert [view.generation for view in views] == [1, PROCESSES]
    for view in views:
        await until(partial(_fired, journal, view.id, 3), "it fires", 10)
        dues = [one.due for one in journal.attempts(view.id)]
        assert {later - earlier for earlier, later in pairwise(dues)} == {timedelta(seconds=1)}, "one chain"
    journal.check()


def _fired(journal: Journal, job: str, number: int) -> bool:
    return len(journal.attempts(job)) >= number


@pytest.mark.parametrize(("lead", "held"), [("1s", 0), ("60s", 1200)])
async def test_1200_far_jobs_do_not_keep_one_that_is_due_soon_from_firing(
    server: EmbeddedServer, replicas: Fleet, journal: Journal, lead: str, held: int
) -> None:
    await replicas.start("a", NATSCHED_SCHEDULER__LEAD=lead)
    far = soon(55)
    async with connected(server.url, scheduler__lead=lead) as client:
        await client.ensure_jobs({"id": f"far.{n}", "schedule": Once(far), "handler": "work"} for n in range(1200))
        await until(lambda: _is_held(server, held), "with a lead of a minute all are held by the replica", 10)
        await client.submit_job("soon", Once(soon(2)), handler="work")
    (ended,) = await until(lambda: journal.ended("soon"), "the one that is due fires", 5)
    assert abs(ended.lag) < 0.25
    assert len(journal.attempts()) == 1
    print(f"lag {ended.lag:.4f} s")


async def _is_held(server: EmbeddedServer, number: int) -> bool:
    async with connect(options_for(server)) as connection:
        info = await call(connection, "CONSUMER.INFO.SCHEDULER.scheduler-worker")
        return bool(info["num_ack_pending"] == number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A job that is changed in the last second before it is due; `running` and `last`: what was claimed then."""

    job: str
    due: datetime
    returned: float
    view: JobView | None

    @property
    def was_claimed(self) -> bool:
        return self.view is not None and (bool(self.view.running) or self.view.last is not None)


@pytest.mark.parametrize("action", ["pause", "remove", "move"])
async def test_what_was_taken_back_in_the_last_second_is_not_claimed_any_more(
    client: Client, replicas: Fleet, journal: Journal, action: str
) -> None:
    await replicas.start("a", "b")
    trials = await _trials(client, action)
    await _all_dues_passed(trials)
    ran = {one.job for one in journal.attempts()}
    for trial in trials:
        assert (trial.job in ran) == trial.was_claimed, trial
    journal.check()
    assert 0 < len(ran) < TRIALS, "some came in time and some too late, else this shows nothing"
    print(f"{len(ran)} of {TRIALS} were claimed before the call returned")


async def test_what_was_changed_in_the_last_second_runs_once_and_as_changed(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b")
    trials = await _trials(client, "change")
    await _all_dues_passed(trials)
    attempts = {one.job: one for one in journal.attempts()}
    assert len(journal.attempts()) == len(attempts) == TRIALS
    for trial in trials:
        run = attempts[trial.job]
        assert run.payload["changed"] or run.started < trial.returned + CLAIMED, "claimed after the call returned"
    journal.check()
    changed = sum(run.payload["changed"] for run in attempts.values())
    assert 0 < changed < TRIALS, "some came in time and some too late, else this shows nothing"
    print(f"{changed} of {TRIALS} ran as changed")


async def _trials(client: Client, action: str) -> list[Trial]:
    """Create jobs that are due one after another, and act on each at another moment of its last second."""
    first = soon(2)
    dues = {f"trial.{n}": first + timedelta(milliseconds=50 * n) for n in range(TRIALS)}
    old = {"handler": "work", "payload": {"changed": False, "lasts": 0.05}}
    await client.ensure_jobs({"id": job, "schedule": Once(due), **old} for job, due in dues.items())
    before = [n / TRIALS for n in range(TRIALS // 2)] + [n / 400 for n in range(TRIALS - TRIALS // 2)]
    random.shuffle(before)
    trials: list[Trial] = []

    async def act(job: str, due: datetime, seconds: float) -> None:
        await anyio.sleep(due.timestamp() - seconds - time.time())
        view = await _act(client, action, job, due)
        returned = time.time()
        trials.append(Trial(job=job, due=due, returned=returned, view=view))

    async with anyio.create_task_group() as tasks:
        for (job, due), seconds in zip(dues.items(), before, strict=True):
            tasks.start_soon(act, job, due, seconds)
    return trials


async def _act(client: Client, action: str, job: str, due: datetime) -> JobView | None:
    """Act, and return the job as it was then, if that says whether its run was claimed."""
    match action:
        case "pause":
            return await client.pause_job(job)
        case "remove":
            return await client.remove_job(job)
        case "move":
            await client.ensure_job(job, Once(due + timedelta(hours=1)), handler="work")
            return await client.get_job(job)
        case _:
            changed: JsonValue = {"changed": True, "lasts": 0.05}
            await client.ensure_job(job, Once(due), handler="work", payload=changed)
            return None


async def _all_dues_passed(trials: list[Trial]) -> None:
    """Wait until whatever could run has run."""
    last = max(trial.due for trial in trials).timestamp()
    await anyio.sleep(max(0.0, last + 1 - time.time()))


@contextmanager
def _ensuring(url: str, number: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.ensuring", url, str(number)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def _turns(processes: list[subprocess.Popen[str]], *, go_on: bool) -> Counter[str]:
    """Let each say its line, and then all go on at once; return what was said how often."""
    said: Counter[str] = Counter()
    for process in processes:
        assert process.stdout is not None
        with anyio.fail_after(30):
            line = await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
        said[line.strip()] += 1
    for process in processes if go_on else ():
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return said
