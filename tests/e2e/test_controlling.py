"""Executions that are cancelled, paused, replaced, chained and run by every replica, while replicas die."""

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest

from natsched import After, Client, ExecutionStatus, Interval, Record, Shell
from tests.e2e.journal import Absence, Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

DAY = Interval(days=1)


async def test_what_runs_on_some_replica_is_cancelled_at_once_and_of_a_dead_one_ends_cancelled(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b")
    handles = {}
    for number in range(10):
        handler = ("work", "watches")[number % 2]
        await client.ensure_job(f"c.{number}", DAY, handler=handler, payload={"lasts": 100})
        handles[f"c.{number}"] = await client.trigger_job(f"c.{number}")
    await until(lambda: len(journal.running()) == 10, "they run", 10)
    assert len({one.pid for one in journal.running()}) == 2, "this machine is too slow for this test"
    took = []
    for job in list(handles)[:6]:
        asked = time.monotonic()
        record = await (await client.cancel_execution(job, handles[job].execution_id, reason="enough")).wait(10)
        took.append(time.monotonic() - asked)
        assert (record.status, record.reason) == (ExecutionStatus.CANCELLED, "enough")
    print(
        f"cancelled within {sorted(took)[len(took) // 2] * 1000:.0f} ms (median), {max(took) * 1000:.0f} ms at most"
    )
    assert {one.how for one in journal.attempts() if one.job in list(handles)[:6]} == {"cancelled"}
    dying = replicas.of(journal.running()[0].pid)
    orphans = [one.job for one in journal.running() if one.pid == dying.pid]
    dying.kill()
    asked_of = [await client.cancel_execution(job, handles[job].execution_id) for job in orphans]
    for handle in asked_of:  # when the lease of the dead one is over
        assert (await handle.wait(30)).status is ExecutionStatus.CANCELLED
    assert all(one.attempt == 1 for one in journal.attempts()), "none was taken over"


async def test_the_whole_process_group_of_a_command_ends_when_its_run_is_cancelled(
    client: Client, replicas: Fleet, tmp_path: Path
) -> None:
    await replicas.start("a", NATSCHED_TARGETS__SHELL__ENABLED="true")
    pids = tmp_path / "pids"
    script = f"sleep 100 & echo $! > {pids}; sleep 101 & echo $! >> {pids}; wait"
    await client.ensure_job("s", DAY, target=Shell(argv=(script,), shell=True, grace=1))
    handle = await client.trigger_job("s")
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "it runs", 10)
    started = pids.read_text().split()
    record = await (await client.cancel_execution("s", handle.execution_id)).wait(10)
    assert record.status is ExecutionStatus.CANCELLED

    def gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in started)

    await until(gone, "its processes are gone", 5)


async def test_a_queue_goes_on_with_the_replicas_that_serve_it(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    both = {"NATSCHED_QUEUES": json.dumps({"default": {"concurrency": 5}, "mail": {"concurrency": 5}})}
    (a, b) = await replicas.start("a", "b", **both)
    (c,) = await replicas.start("c", NATSCHED_QUEUES=json.dumps({"default": {"concurrency": 5}}))
    for number in range(5):
        schedule = Interval(milliseconds=300, start_at=soon(1))
        await client.ensure_job(f"mail.{number}", schedule, handler="work", queue="mail", payload={"lasts": 0.05})
        await client.ensure_job(f"other.{number}", schedule, handler="work", payload={"lasts": 0.05})
    await until(lambda: len(journal.ended("mail")) > 30 and len(journal.ended("other")) > 30, "they run", 30)
    killed = a.kill()

    def all_go_on() -> bool:
        late = {one.job for one in journal.ended() if one.started > killed + 8}
        return len(late) == 10

    await until(all_go_on, "all jobs go on", 40)
    assert {one.pid for one in journal.attempts("mail")} == {a.pid, b.pid}
    assert c.pid in {one.pid for one in journal.attempts("other")}
    journal.check(Absence(pid=a.pid, at=killed))


async def test_a_paused_run_goes_on_where_it_was_also_on_another_replica(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b")
    await client.ensure_job("p", DAY, handler="steps", payload={"lasts": 3}, max_crashes=5)
    execution = (await client.trigger_job("p")).execution_id

    async def step() -> int | None:
        found = await client.executions("p", execution, limit=1)
        if not found or found[0].check_in is None:
            return None
        return cast("dict[str, int]", found[0].check_in.data)["step"]

    async def beyond(number: int) -> bool:
        return (await step() or 0) > number

    await until(lambda: beyond(5), "it tells how far it is", 15)
    await client.pause_execution("p", execution)
    (first,) = journal.running("p")
    paused_at = await _steady(step)
    replicas.of(first.pid).kill()
    await until(lambda: len(journal.attempts("p")) == 2, "it is taken over", 30)
    assert await _steady(step) == paused_at
    await client.resume_execution("p", execution)
    record = await client.execution("p", execution).wait(30)
    assert (record.status, record.attempt) == (ExecutionStatus.OK, 2)
    assert record.check_in is not None
    assert record.check_in.data == {"step": 29, "from": paused_at}


async def _steady(look: Callable[[], Awaitable[int | None]]) -> int:
    """Look until what is seen does not change for half a second."""
    seen: list[tuple[float, int | None]] = []

    async def steady() -> bool:
        now = time.monotonic()
        value = await look()
        if not seen or seen[-1][1] != value:
            seen.append((now, value))
        return now - seen[-1][0] > 0.5

    await until(steady, "it stands still", 15)
    assert seen[-1][1] is not None
    return seen[-1][1]


async def test_a_replaced_run_ends_before_the_new_one_starts_on_any_replica(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    (a, b) = await replicas.start("a", "b")
    for number in range(5):
        schedule = Interval(seconds=1, start_at=soon(1))
        await client.ensure_job(
            f"r.{number}", schedule, handler="work", payload={"lasts": 30}, overlap="replace", max_crashes=9
        )
    await until(lambda: len(journal.attempts()) >= 20, "they replace each other", 30)
    assert {one.pid for one in journal.attempts()} == {a.pid, b.pid}, "this machine is too slow for this test"
    a.kill()
    killed = time.time()

    def all_go_on() -> bool:
        return {one.job for one in journal.attempts() if one.started > killed + 8} == {f"r.{n}" for n in range(5)}

    await until(all_go_on, "every job goes on", 40)
    for number in range(5):
        runs = journal.attempts(f"r.{number}")
        for earlier, later in pairwise(runs):
            assert later.started >= earlier.until([Absence(pid=a.pid, at=killed)]), "they overlap"
    gaps = [
        later.started - earlier.over
        for number in range(5)
        for earlier, later in pairwise(journal.attempts(f"r.{number}"))
        if later.started < killed and earlier.how == "cancelled"
    ]
    print(f"the new run starts {sorted(gaps)[len(gaps) // 2] * 1000:.0f} ms (median), {max(gaps) * 1000:.0f} at most")


async def test_every_replica_runs_its_part_and_one_that_is_killed_only_loses_its_own(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    started = await replicas.start("a", "b", "c")
    schedule = Interval(seconds=1, start_at=soon(1))
    await client.ensure_job("all", schedule, handler="work", payload={"lasts": 0.3}, scope="all")

    def instants() -> dict[datetime, Counter[str]]:
        found: dict[datetime, Counter[str]] = {}
        for one in journal.attempts("all"):
            found.setdefault(one.due, Counter())[one.replica] += 1
        return found

    await until(lambda: len(instants()) >= 4, "they run", 20)
    victim = started[1]
    await until(lambda: any(one.pid == victim.pid for one in journal.running("all")), "the victim is at it", 20)
    killed = victim.kill()
    await until(lambda: max(instants()).timestamp() > killed + 9, "they go on", 30)
    late = killed + 6
    for due, ran in sorted(instants().items())[:-1]:
        assert max(ran.values()) == 1, f"one replica ran {due} twice"
        if due.timestamp() < killed - 1:
            assert set(ran) == {"a", "b", "c"}, due
        elif due.timestamp() > late:
            assert set(ran) == {"a", "c"}, due
    records = await client.executions("all", limit=1000)
    assert {record.attempt for record in records} <= {0, 1}

    async def lost() -> list[Record]:
        return [one for one in await client.executions("all", limit=1000) if one.status is ExecutionStatus.LOST]

    assert await until(lost, "its part is told of", 10)


def _ended(journal: Journal, number: int) -> bool:
    return len(journal.ended("then")) >= number


async def test_every_end_is_passed_on_once_whatever_replica_is_killed(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    await replicas.start("a", "b", "c")
    first = soon(1)
    for number in range(10):
        schedule = Interval(milliseconds=500, start_at=first, max_runs=16)
        await client.ensure_job(
            f"first.{number}",
            schedule,
            handler="work",
            payload={"lasts": 0.05},
            overlap="queue",
            catch_up="all",
            max_crashes=9,
        )
        await client.ensure_job(
            f"then.{number}", After(f"first.{number}"), handler="work", payload={"lasts": 0.05}, max_crashes=9
        )
    absences = []
    for count, name in ((30, "a"), (80, "b")):
        await until(partial(_ended, journal, count), "they run", 40)
        victim = next(one for one in replicas.replicas if one.name == name)
        absences.append(Absence(pid=victim.pid, at=victim.kill()))
        await replicas.start(f"{name}2")

    async def ends() -> bool:
        records = await client.executions(limit=10_000, status=["ok"])
        ok = Counter(record.job.partition(".")[0] for record in records)
        return ok["first"] == 160 and ok["then"] == 160

    await until(ends, "every end was passed on", 90, probe=0.5)
    journal.check(*absences)
    causes = Counter(
        (record.cause.job, record.cause.execution)
        for record in await client.executions(limit=10_000, status=["ok"])
        if record.cause is not None
    )
    assert len(causes) == 160
    assert set(causes.values()) == {1}
    lags = sorted(one.lag for one in journal.attempts("then") if one.attempt == 1)
    print(f"a follower starts {lags[len(lags) // 2] * 1000:.0f} ms (median) after it was asked for")
    assert datetime.now(UTC) > first
