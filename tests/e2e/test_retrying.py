"""Executions that fail and are tried again, while replicas die and come back."""

from itertools import pairwise

import pytest
from pydantic import JsonValue

from natsched import Client, ExecutionStatus, Once, RetryPolicy
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import soon

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

JOBS = 20


async def test_planned_retries_survive_the_death_of_the_replica_that_planned_them(
    client: Client, replicas: Fleet, journal: Journal
) -> None:
    (a, _) = await replicas.start("a", "b")
    policy = RetryPolicy(max_attempts=3, backoff="fixed", base=2.0, jitter=0.5)
    first = soon(1)
    for number in range(JOBS):
        payload: JsonValue = {"lasts": 0.05, "fails": 1 + number % 3}
        await client.submit_job(f"job.{number}", Once(first), handler="fails", payload=payload, retry=policy)
    await until(lambda: len(journal.ended()) >= JOBS, "all have failed once", 20)
    planned = {one.execution for one in journal.ended() if one.pid == a.pid}
    a.kill()
    assert planned, "this machine is too slow for this test"

    async def over() -> bool:
        page = await client.list_jobs("job", limit=JOBS)
        return all(view.state == "completed" for view in page.jobs)

    await until(over, "all are over", 60, probe=0.2)
    for number in range(JOBS):
        tries = journal.attempts(f"job.{number}")
        tries = [one for one in tries if one.job == f"job.{number}"]
        numbers = [one.attempt for one in tries]
        records = {record.attempt: record.status for record in await client.executions(f"job.{number}")}
        dies = number % 3 == 2
        assert numbers == list(range(1, len(numbers) + 1)), "attempts follow each other, and none is doubled"
        assert records[numbers[-1]] is (ExecutionStatus.DEAD if dies else ExecutionStatus.OK)
        for earlier, later in pairwise(tries):
            assert later.started >= earlier.over + 0.9, "no attempt before its backoff"
    (dead, *_) = found = await client.executions(status=["dead"])
    assert len(found) == JOBS // 3
    handle = await client.retry_execution(dead.job, dead.execution)
    assert (await handle.wait(20)).status is ExecutionStatus.OK
    print(f"{len(planned)} of {JOBS} retries were planned by the replica that was killed")
