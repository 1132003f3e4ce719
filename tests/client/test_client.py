"""The client over memory, on virtual time."""

from datetime import datetime, timedelta

import pytest

from natsched import Cron, Ensured, Interval, InvalidJob, JobExists, JobNotFound, Once, ScheduleError
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import JobId
from tests.daemon.harness import World, in_a_world


@in_a_world
async def test_ensuring_tells_what_it_did_and_unchanged_writes_nothing(world: World) -> None:
    client = world.client
    assert await client.ensure_job("a", Interval(hours=1), handler="h") is Ensured.CREATED
    before = await world.backend.jobs.read(JobId("a"))
    await world.clock.sleep(100)
    assert await client.ensure_job("a", Interval(hours=1), handler="h") is Ensured.UNCHANGED
    assert await world.backend.jobs.read(JobId("a")) == before
    assert await client.ensure_job("a", Interval(hours=1), handler="other") is Ensured.UPDATED
    job = await client.get_job("a")
    assert (job.handler, job.generation) == ("other", 2)
    assert job.next_run == before.job.status.plan.due  # type: ignore[union-attr]


@in_a_world
async def test_submitting_a_taken_id_is_an_error(world: World) -> None:
    at = world.clock.now() + timedelta(hours=1)
    await world.client.submit_job("a", Once(at), payload={"user": "42"})
    with pytest.raises(JobExists, match="a job a exists"):
        await world.client.submit_job("a", Once(at))


@in_a_world
async def test_a_removed_id_can_be_taken_again(world: World) -> None:
    at = world.clock.now() + timedelta(hours=1)
    await world.client.submit_job("a", Once(at))
    await world.client.remove_job("a")
    with pytest.raises(JobNotFound, match="there is no job a"):
        await world.client.get_job("a")
    with pytest.raises(JobNotFound):
        await world.client.remove_job("a")
    await world.client.submit_job("a", Once(at))


@in_a_world
async def test_jobs_are_listed_in_pages_without_a_gap(world: World) -> None:
    ids = [f"t{number % 3}.{number}" for number in range(25)] + ["t1"]
    for job in ids:
        await world.client.ensure_job(job, Interval(hours=1))
    for prefix in ("", "t1", "t1.4", "nobody"):
        wanted = {job for job in ids if not prefix or job == prefix or job.startswith(f"{prefix}.")}
        for limit in (1, 4, 100):
            found: list[str] = []
            after: str | None = None
            while True:
                page = await world.client.list_jobs(prefix, limit=limit, after=after)
                found += [job.id for job in page.jobs]
                assert len(page.jobs) <= limit
                if page.next is None:
                    break
                after = page.next
            assert sorted(found) == sorted(wanted)


@in_a_world
async def test_bulk_counts_what_it_did_and_reports_progress(world: World) -> None:
    jobs = [{"id": f"b.{number}", "schedule": Interval(hours=1), "handler": "h"} for number in range(500)]
    told: list[tuple[int, int | None]] = []
    first = await world.client.ensure_jobs(jobs, progress=lambda done, total: told.append((done, total)))
    assert (first.created, first.total) == (500, 500)
    assert told == [(number + 1, 500) for number in range(500)]
    again = await world.client.ensure_jobs(iter([*jobs[:10], {**jobs[10], "handler": "other"}]))
    assert (again.unchanged, again.updated) == (10, 1)
    documents = [job.document async for job in world.client.iter_jobs()]
    assert (await world.client.ensure_jobs(documents)).unchanged == 500


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({"schedule": Interval(hours=1)}, "id"),
        ({"id": "a"}, "schedule"),
        ({"id": "a b", "schedule": Interval(hours=1)}, "id"),
        ({"id": "a..b", "schedule": Interval(hours=1)}, "id"),
        ({"id": "a", "schedule": "hourly"}, "schedule"),
        ({"id": "a", "schedule": Interval(hours=1), "handlr": "h"}, "handlr"),
        ({"id": "a", "schedule": Interval(hours=1), "timeout": -1}, "timeout"),
        ({"id": "a", "schedule": Interval(hours=1), "overlap": "maybe"}, "overlap"),
        ({"id": "a", "schedule": Interval(hours=1), "payload": "x" * 70_000}, "payload"),
        ({"id": "a", "schedule": Interval(hours=1), "payload": {1, 2}}, "payload"),
        ({"id": "a", "schedule": Interval(hours=1), "queue": "a.b"}, "queue"),
    ],
)
def test_a_bad_job_is_an_error_that_names_it_and_its_field(job: dict[str, object], field: str) -> None:
    @in_a_world
    async def scene(world: World) -> None:
        with pytest.raises(InvalidJob) as caught:
            await world.client.ensure_jobs([job])
        assert "job 1" in str(caught.value)
        assert f"{field}: " in str(caught.value)
        assert [one async for one in world.client.iter_jobs()] == []

    scene()


@in_a_world
async def test_a_near_miss_is_told(world: World) -> None:
    with pytest.raises(InvalidJob, match="did you mean `handler`"):
        await world.client.ensure_job("a", Interval(hours=1), handlr="h")  # type: ignore[call-arg]


@in_a_world
async def test_naive_instants_are_refused(world: World) -> None:
    with pytest.raises(ScheduleError):
        await world.client.submit_job("a", Once(datetime(2030, 1, 1)))
    await world.client.ensure_job("a", Interval(hours=1))
    with pytest.raises(InvalidJob, match="until"):
        await world.client.pause_job("a", until=datetime(2030, 1, 1))


@in_a_world
async def test_pausing_and_resuming_twice_changes_nothing(world: World) -> None:
    await world.client.ensure_job("a", Cron("0 3 * * *", timezone="Europe/Berlin"))
    paused = await world.client.pause_job("a")
    assert (paused.state, paused.next_run) == ("paused", None)
    assert (await world.client.pause_job("a")).generation == paused.generation
    resumed = await world.client.resume_job("a")
    assert (await world.client.resume_job("a")).generation == resumed.generation
    assert resumed.state == "active"


@in_a_world
async def test_executions_show_what_runs_and_what_ran(world: World) -> None:
    world.handler(takes=5.0)
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.clock.sleep(32)
    statuses = [record.status for record in await world.client.executions("a")]
    assert statuses == ["running", "ok", "ok"]
    assert [record.status for record in await world.client.executions("a", limit=1)] == ["running"]
    one = (await world.client.executions("a"))[1].execution
    assert [record.execution for record in await world.client.executions("a", one)] == [one]


@in_a_world
async def test_missed_runs_are_found_behind_many_that_ran(world: World) -> None:
    world.handler()
    await world.client.ensure_job("late", Cron("0 0 * * * *"), handler="h", catch_up="none", tolerance=1)
    await world.clock.sleep(3 * 3600 + 5)
    await world.start()
    await world.client.ensure_job("often", Interval(seconds=1), handler="h")
    await world.clock.sleep(60)
    found = await world.client.executions(missed=True, limit=5)
    assert [(record.job, record.status, record.number) for record in found] == [("late", "missed", 3)]


@in_a_world
async def test_a_handle_on_a_removed_jobs_execution_does_not_wait_for_ever(world: World) -> None:
    world.handler(takes=100)
    member = await world.start()
    await world.client.ensure_job("a", Interval(hours=1), handler="h")
    running = await world.client.trigger_job("a")
    await world.clock.sleep(1)
    member.kill()
    waiting = await world.client.trigger_job("a")
    await world.client.remove_job("a")
    record = await waiting.wait(60)
    assert (record.status, record.reason) == (ExecutionStatus.CANCELLED, "the job was removed")
    assert (await running.wait(60)).reason == "the job was removed while it was claimed or ran"
