"""The metrics: as Prometheus reads them, and as many as what ran."""

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from natsched import Once
from natsched.core.backlog import Backlog
from natsched.core.executions import ExecutionStatus
from natsched.daemon.events import HandedBack, RunEnded, RunLeftOut, RunStarted, Swept
from natsched.web.metrics import Metrics
from tests.daemon.harness import World, in_a_world
from tests.factories import make_record
from tests.web.harness import Web, make_condition, web


async def scraped(one: Web) -> dict[tuple[str, ...], float]:
    """Return each sample by its name and the values of its labels, in the order of their names."""
    answer = await one.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@in_a_world
async def test_what_is_counted_is_what_ran(world: World) -> None:
    metrics = Metrics()
    world.observers = (metrics,)
    world.handler("h", takes=0.2)
    world.handler("bad", fails=ValueError("boom"))
    world.handler("slow", takes=3)
    member = await world.start()
    async with web(world, member.replica.condition, metrics=metrics) as one:
        await one.put("/jobs/good", {"every": "1s", "handler": "h"})
        await one.put("/jobs/bad", {"every": "2s", "handler": "bad"})
        await one.put("/jobs/slow", {"every": "1s", "handler": "slow"})
        await one.put("/jobs/nobodys", {"every": "10s", "handler": "absent"})
        await world.clock.sleep(35)
        seen = await scraped(one)
        ends = Counter(record.status.value for record in world.ends)
        assert set(ends) == {"ok", "failed"}
        for status, number in ends.items():
            assert seen["natsched_runs_total", "default", status] == number
        left_out: Counter[str] = Counter()
        for record in world.left_out:
            left_out[record.status.value] += record.number
        assert left_out["skipped"] > 10
        for status, number in left_out.items():
            assert seen["natsched_runs_left_out_total", "default", status] == number
        assert seen["natsched_run_lag_seconds_count",] == len(world.starts)
        assert seen["natsched_run_lag_seconds_sum",] == sum(start.lag for start in world.starts)
        durations = [record.duration for record in world.ends if record.duration is not None]
        assert round(seen["natsched_run_duration_seconds_sum", "default"], 6) == round(sum(durations), 6)
        assert seen["natsched_run_duration_seconds_bucket", "0.5", "default"] == sum(d <= 0.5 for d in durations)
        handed = len(world.told(HandedBack))
        assert seen["natsched_handed_back_total", "no handler ... here"] == handed > 0
        condition = member.replica.condition()
        assert seen["natsched_running", "default"] == condition.places["default"].taken > 0
        assert seen["natsched_held",] == condition.held
        assert (seen["natsched_serving",], seen["natsched_lease_held",], seen["natsched_primary",]) == (1, 1, 1)
        swept = world.told(Swept)[-1]
        assert seen["natsched_jobs",] == swept.jobs == 4
        assert seen["natsched_queue_depth", "default"] == swept.backlogs["default"].number
        assert seen["natsched_queue_oldest_seconds", "default"] == swept.backlogs["default"].oldest


@in_a_world
async def test_what_was_lost_with_its_replica_is_told_as_left_out(world: World) -> None:
    metrics = Metrics()
    world.observers = (metrics,)
    world.handler("h", takes=60)
    victim = await world.start("r1")
    at = world.clock.now() + timedelta(seconds=2)
    await world.client.submit_job("a", Once(at), handler="h", delivery="at_most_once")
    await world.clock.sleep(3)
    await world.start("r2")
    victim.kill()
    await world.clock.sleep(90)
    async with web(world, metrics=metrics) as one:
        assert (await scraped(one))["natsched_runs_left_out_total", "default", "lost"] == 1


@in_a_world
async def test_queues_are_told_while_the_replica_is_the_primary_one(world: World) -> None:
    for is_primary in (True, False):
        metrics = Metrics()
        metrics(Swept(jobs=1, repairs=0, seconds=0.1, backlogs={"default": Backlog(number=3, oldest=2.5)}))
        async with web(world, partial(make_condition, is_primary=is_primary), metrics=metrics) as one:
            seen = await scraped(one)
            assert seen.get(("natsched_queue_depth", "default")) == (3 if is_primary else None)
            assert seen.get(("natsched_queue_oldest_seconds", "default")) == (2.5 if is_primary else None)


@in_a_world
async def test_what_users_write_is_no_label(world: World) -> None:
    metrics = Metrics()
    for number in range(200):
        metrics(HandedBack(job="a", reason=f"no handler 'h{number}' here"))
        metrics(HandedBack(job="a", reason=f"reason {number}: more"))
    async with web(world, metrics=metrics) as one:
        seen = {key: value for key, value in (await scraped(one)).items() if key[0] == "natsched_handed_back_total"}
    assert len(seen) == 65
    assert seen["natsched_handed_back_total", "no handler ... here"] == 200
    assert sum(seen.values()) == 400


def test_a_record_of_many_instants_counts_each_and_what_was_not_begun_has_no_duration() -> None:
    metrics = Metrics()
    metrics(RunLeftOut(record=make_record(status=ExecutionStatus.MISSED, number=5)))
    metrics(RunEnded(record=make_record()))
    metrics(RunStarted(job="a", execution="x", attempt=1, due=make_record().due, lag=-0.001))
    found: dict[str, Any] = {
        sample.name: sample.value for family in metrics.registry.collect() for sample in family.samples
    }
    assert (found["natsched_runs_left_out_total"], found["natsched_runs_total"]) == (5, 1)
    assert found["natsched_run_duration_seconds_count"] == 0
