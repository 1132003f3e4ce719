"""The scheduler for users' tests: their handlers, the real replica, and a clock that moves when it is told to."""

import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from natsched import Context, Cron, Ensured, ExecutionStatus, Interval, InvalidJob, Once, Registry, RetryPolicy
from natsched.testing import pytest_plugin
from natsched.testing.scheduler import Scheduler

START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def test_days_pass_in_a_moment_on_the_wall_clock_of_its_zone() -> None:
    registry = Registry()

    @registry.job("report", Cron("0 3 * * *", timezone="Europe/Berlin"))
    async def report(ctx: Context) -> None:
        await anyio.sleep(60)

    with Scheduler(registry, start=START) as scheduler:
        began = time.monotonic()
        scheduler.advance(timedelta(days=3))
        assert time.monotonic() - began < 60
        scheduler.assert_ran_at("report", [START + HOUR + timedelta(days=day) for day in range(3)])
        scheduler.assert_next_run("report", START + HOUR + timedelta(days=3))
        assert {record.status for record in scheduler.records("report")} == {ExecutionStatus.OK}


def test_what_is_due_at_the_very_end_has_begun_and_nothing_later() -> None:
    registry = Registry()
    seen = []

    @registry.handler("plain")
    def plain(ctx: Context) -> str:
        seen.append(ctx.due)
        return "done"

    with Scheduler(registry, start=START) as scheduler:
        assert scheduler.now == START
        assert scheduler.ensure_job("tick", Interval(hours=1), handler="plain") is Ensured.CREATED
        scheduler.advance(HOUR - timedelta(milliseconds=1))
        scheduler.assert_ran_at("tick", [])
        scheduler.advance(0.001)
        scheduler.assert_ran_at("tick", [START + HOUR])
        assert seen == [START + HOUR]
        assert scheduler.now == START + HOUR
        assert scheduler.trigger_job("tick").result == "done"
        with pytest.raises(ValueError, match="has passed"):
            scheduler.run_until(START)


def test_an_assertion_that_fails_says_what_was_missing() -> None:
    with Scheduler(start=START) as scheduler:
        scheduler.registry.handler("h")(lambda ctx: None)
        scheduler.ensure_job("once", Once(START + HOUR), handler="h")
        scheduler.advance(2 * HOUR)
        with pytest.raises(AssertionError) as caught:
            scheduler.assert_ran_at("once", [START + 2 * HOUR])
        text = str(caught.value)
        assert "missing: 2026-06-01T02:00:00+00:00" in text
        assert "not asked for: 2026-06-01T01:00:00+00:00" in text
        scheduler.assert_next_run("once", None)
        with pytest.raises(AssertionError, match="once runs next at None, not at 2026"):
            scheduler.assert_next_run("once", START)


def test_retries_and_the_death_of_a_replica_take_their_time() -> None:
    registry = Registry()

    @registry.handler("fails")
    async def fails(ctx: Context) -> None:
        if ctx.attempt < 3:
            raise OSError("not yet")

    @registry.handler("long")
    async def long(ctx: Context) -> None:
        await anyio.sleep(30)

    with Scheduler(registry, start=START, replicas=2, lease=timedelta(seconds=5)) as scheduler:
        retry = RetryPolicy(max_attempts=3, base=60, factor=1, jitter=0)
        scheduler.ensure_job("fails", Once(START + MINUTE), handler="fails", retry=retry)
        scheduler.advance(2 * MINUTE)
        assert [one.status for one in scheduler.records("fails")] == [ExecutionStatus.RETRYING] * 2
        scheduler.advance(60)
        assert scheduler.records("fails")[-1].status is ExecutionStatus.OK
        scheduler.ensure_job("long", Once(scheduler.now + MINUTE), handler="long")
        scheduler.advance(70)
        (running,) = scheduler.wait(lambda: scheduler.client.get_job("long")).document.status.running.values()
        assert running.lease is not None
        scheduler.kill(running.lease.split(".")[1])
        scheduler.advance(50)
        assert [one.attempt for one in scheduler.records("long") if one.status is ExecutionStatus.OK] == [2]


def test_what_fails_in_there_is_raised_here() -> None:
    registry = Registry()
    registry.job("bad", Interval(hours=1), timeout=-1)(lambda ctx: None)
    with pytest.raises(BaseExceptionGroup) as caught, Scheduler(registry):
        pass
    assert caught.group_contains(InvalidJob, match="no time limit")


def test_the_plugin_gives_the_scheduler_to_a_test_of_a_user(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from natsched import Interval, Registry

        registry = Registry()

        @registry.job("tick", Interval(minutes=10))
        def tick(ctx): ...

        @pytest.fixture
        def natsched_registry():
            return registry
        """
    )
    pytester.makepyfile(
        """
        from datetime import UTC, datetime, timedelta
        import pytest

        START = datetime(2030, 1, 1, tzinfo=UTC)

        @pytest.mark.natsched(start=START, replicas=2)
        def test_good(natsched_scheduler):
            natsched_scheduler.advance(timedelta(minutes=25))
            natsched_scheduler.assert_ran_at("tick", [START + timedelta(minutes=10), START + timedelta(minutes=20)])

        def test_bad(natsched_scheduler):
            natsched_scheduler.assert_next_run("tick", START)
        """
    )
    plugins = ("-p", "no:natsched", "-p", "natsched.testing.pytest_plugin", "-p", "no:xdist")
    ran = pytester.runpytest_inprocess(*plugins, "--strict-markers")
    ran.assert_outcomes(passed=1, failed=1)
    ran.stdout.fnmatch_lines(["*AssertionError: tick runs next at 2026-01-01 00:10:00+00:00, not at 2030*"])


def test_pytest_finds_the_plugin_where_natsched_is_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"natsched": pytest_plugin.__name__}
