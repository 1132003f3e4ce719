"""Backups: what comes back runs on, and what has ended does not run again."""

import gzip
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from natsched.core.backoff import RetryPolicy
from natsched.core.chains import After
from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Interval, Once
from natsched.errors import DocumentError, JobExists
from natsched.targets.context import Context
from tests.daemon.harness import World, world
from tests.virtual import run_virtual

SECOND = timedelta(seconds=1)


def handlers(one: World) -> None:
    one.handler("quick")
    one.handler("slow", takes=4.0)

    async def again(ctx: Context) -> None:
        one.calls.append(ctx)
        if ctx.attempt < 3:
            raise OSError("not yet")

    one.registry.handler("again")(again)


async def fill(one: World) -> None:
    """Create a job of each kind."""
    client = one.client
    await client.submit_job("tick", Interval(10 * SECOND), handler="quick")
    await client.submit_job("slow", Interval(7 * SECOND), handler="slow", overlap="queue")
    await client.submit_job("delayed", Interval(9 * SECOND, fixed_delay=True), handler="slow")
    retry = RetryPolicy(max_attempts=5, base=6.0, factor=1.0, jitter=0.0)
    await client.submit_job("again", Interval(30 * SECOND), handler="again", retry=retry)
    await client.submit_job("limited", Interval(5 * SECOND, max_runs=6), handler="quick")
    await client.submit_job("once", Once(one.clock.now() + 33 * SECOND), handler="quick")
    await client.submit_job("follower", After("slow", on="any"), handler="quick")


def started(*worlds: World) -> Counter[tuple[str, str, int]]:
    return Counter((call.job_id, call.execution_id, call.attempt) for one in worlds for call in one.calls)


def dues(*worlds: World) -> Counter[tuple[str, Any]]:
    """Count how often each planned due was begun."""
    calls = [call for one in worlds for call in one.calls]
    return Counter((call.job_id, call.due) for call in calls if call.attempt == 1 and not call.manual)


@asynccontextmanager
async def filled() -> AsyncGenerator[World, None]:
    async with world() as one:
        handlers(one)
        await one.start()
        await fill(one)
        yield one


@pytest.mark.parametrize("moment", [10.0, 30.05, 44.9])
def test_jobs_removed_by_mistake_come_back_and_nothing_runs_twice(tmp_path: Path, moment: float) -> None:
    """The records of what ran since are there, and so is the replica."""

    async def main() -> None:
        async with filled() as one:
            await one.clock.sleep(moment)
            await one.client.trigger_job("tick")
            await one.client.backup(tmp_path / "b")
            await one.clock.sleep(13)
            in_hand = set()
            async for view in one.client.iter_jobs():
                removed = (await one.client.remove_job(view.id)).document
                in_hand |= {(view.id, entry.due) for entry in removed.status.running.values()}
            await one.clock.sleep(5)
            before = {job: n for (job, *_), n in Counter((call.job_id,) for call in one.calls).items()}
            restored = await one.client.restore(tmp_path / "b")
            assert restored.created >= 6
            await one.clock.sleep(60)
            assert max(started(one).values()) == 1
            twice = {due for due, number in dues(one).items() if number > 1}
            assert twice <= in_hand, "what runs when its job is removed leaves no record"
            after = Counter(call.job_id for call in one.calls)
            for job in ("tick", "slow", "delayed", "again", "follower"):
                assert after[job] > before.get(job, 0), job
            assert after["limited"] == 6
            assert after["once"] == 1
            assert not [job for job in ("tick", "slow") if (await one.client.get_job(job)).next_run is None]

    run_virtual(main)


@pytest.mark.parametrize("moment", [16.5, 37.0])
def test_what_had_ended_when_the_backup_was_made_does_not_run_again_elsewhere(tmp_path: Path, moment: float) -> None:
    """All else is gone: only the file is left, an hour later."""

    async def main() -> None:
        async with filled() as one:
            await one.clock.sleep(moment)
            await one.client.backup(tmp_path / "b")
            begun = set(started(one))
            ended = {(record.job, record.execution, record.attempt) for record in one.ends}
        async with world() as two:
            handlers(two)
            await two.clock.sleep(3600)
            told = list[tuple[int, int | None]]()
            restored = await two.client.restore(tmp_path / "b", progress=lambda *how: told.append(how))
            assert told == [(one, len(told)) for one in range(1, len(told) + 1)] != []
            assert (restored.created, restored.left) == (7 if moment < 33 else 6 + (restored.created == 7), [])
            await two.start()
            await two.clock.sleep(60)
            assert not ended & set(started(two))
            assert max(dues(two).values()) == 1
            again = {(job, execution) for job, execution, _ in started(two)} & {(job, ex) for job, ex, _ in begun}
            for job, execution in again:
                assert job in ("slow", "delayed", "again"), (job, execution)
            assert {call.job_id for call in two.calls} >= {"tick", "slow", "delayed", "again"}
            late = [call for call in two.calls if call.job_id == "tick" and call.lag > 1]
            assert len(late) <= 1, "the catch-up policy makes up for the latest alone"

    run_virtual(main)


def test_no_execution_gets_an_id_that_may_have_been_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            one.handler("quick")
            await one.start()
            await one.client.submit_job("a", Interval(SECOND), handler="quick", history="none")
            await one.clock.sleep(5)
            await one.client.backup(tmp_path / "b")
            await one.clock.sleep(100)
            await one.client.remove_job("a")
            used = {call.execution_id for call in one.calls}
            one.calls.clear()
            await one.client.restore(tmp_path / "b")
            await one.clock.sleep(20)
            assert len(one.calls) > 15
            assert not used & {call.execution_id for call in one.calls}

    run_virtual(main)


def test_a_run_that_a_live_replica_has_in_hand_is_left_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            one.handler("long", takes=30.0)
            await one.start()
            await one.client.submit_job("a", Interval(60 * SECOND), handler="long")
            await one.clock.sleep(61)
            await one.client.backup(tmp_path / "b")
            await one.client.remove_job("a")
            restored = await one.client.restore(tmp_path / "b")
            assert restored.left == [one.calls[0].execution_id]
            await one.clock.sleep(50)
            assert len(one.calls) == 1
            await one.clock.sleep(20)
            assert len(one.calls) == 2

    run_virtual(main)


def test_a_run_whose_replica_is_gone_is_taken_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            one.handler("long", takes=30.0)
            member = await one.start()
            await one.client.submit_job("a", Interval(60 * SECOND), handler="long")
            await one.clock.sleep(61)
            await one.client.backup(tmp_path / "b")
            member.kill()
        async with world() as two:
            two.handler("long", takes=30.0)
            await two.start()
            await two.client.restore(tmp_path / "b")
            await two.clock.sleep(5)
            assert [(call.execution_id, call.attempt) for call in two.calls] == [(one.calls[0].execution_id, 2)]

    run_virtual(main)


def test_a_job_that_is_there_is_refused_or_gets_its_definition_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with world() as one:
            one.handler("quick")
            await one.start()
            await one.client.submit_job("a", Interval(10 * SECOND), handler="quick")
            await one.client.submit_job("b", Interval(10 * SECOND), handler="quick")
            await one.client.backup(tmp_path / "b")
            await one.client.ensure_job("a", Interval(10 * SECOND), handler="quick", timeout=5)
            await one.client.remove_job("b")
            await one.clock.sleep(25)
            with pytest.raises(JobExists, match="a: there already"):
                await one.client.restore(tmp_path / "b")
            told = await one.client.restore(tmp_path / "b", overwrite=True, dry_run=True)
            assert (told.created, told.updated) == (1, 1)
            assert (await one.client.get_job("a")).document.spec.timeout == 5
            done = await one.client.restore(tmp_path / "b", overwrite=True)
            assert (done.created, done.updated) == (1, 1)
            view = await one.client.get_job("a")
            assert (view.document.spec.timeout, view.runs) == (None, 2)
            again = await one.client.restore(tmp_path / "b", overwrite=True)
            assert (again.created, again.updated, again.unchanged) == (0, 0, 2)

    run_virtual(main)


def test_records_come_back_for_what_is_left_of_their_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with filled() as one:
            await one.clock.sleep(20)
            backed_up = await one.client.backup(tmp_path / "b")
            wanted = await one.client.executions("limited", status=[ExecutionStatus.OK])
        async with world() as two:
            await two.clock.sleep(timedelta(days=6).total_seconds())
            done = await two.client.restore(tmp_path / "b")
            assert 0 < done.records == backed_up.records
            assert await two.client.executions("limited", status=[ExecutionStatus.OK]) == wanted
            await two.clock.sleep(timedelta(days=1).total_seconds() + 60)
            assert await two.client.executions("limited", status=[ExecutionStatus.OK]) == []
            assert (await two.client.restore(tmp_path / "b", overwrite=True)).records < backed_up.records

    run_virtual(main)


def test_a_damaged_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    async def main() -> None:
        async with filled() as one:
            await one.clock.sleep(12)
            await one.client.backup(tmp_path / "b")
        whole = (tmp_path / "b").read_bytes()

        lines = gzip.decompress(whole).splitlines(keepends=True)
        damaged = {
            "cut": whole[: len(whole) // 2],
            "no end": b"".join(lines[:-1]),
            "a line less": b"".join([*lines[:2], *lines[3:]]),
            "other": b'{"kind": "x", "v": 1}\n',
            "newer": b"".join([lines[0].replace(b'"v": 1', b'"v": 2'), *lines[1:]]),
            "nothing": b"",
            "torn": whole[:60] + b"\0" * 8 + whole[68:],
            "a list": lines[0] + b"[]\n",
            "no JSON": b"hello",
            "bad job": b"".join([lines[0], lines[1].replace(b'"uid"', b'"uidd"'), *lines[2:]]),
        }
        async with world() as two:
            for name, data in damaged.items():
                (tmp_path / "d").write_bytes(data)
                with pytest.raises(DocumentError):
                    await two.client.restore(tmp_path / "d")
                assert (await two.client.list_jobs()).jobs == (), name
            (tmp_path / "d").write_bytes(b"".join(lines))
            assert (await two.client.restore(tmp_path / "d")).created > 0

    run_virtual(main)
