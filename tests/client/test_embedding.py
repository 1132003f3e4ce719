"""A replica inside the program, with and without NATS."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from natsched import Context, ExecutionStatus, Interval, Once, Registry, embed
from natsched.config import Settings

pytestmark = pytest.mark.anyio


async def test_an_embedded_replica_runs_jobs_without_nats() -> None:
    registry = Registry()
    seen: list[Context] = []
    ran = anyio.Event()

    @registry.handler("note")
    async def note(ctx: Context) -> None:
        seen.append(ctx)
        ran.set()

    async with embed(registry, settings=Settings(mode="local")) as client:
        at = datetime.now(UTC) + timedelta(milliseconds=300)
        await client.submit_job("soon", Once(at), handler="note", payload={"user": 42})
        with anyio.fail_after(5):
            await ran.wait()
    assert seen[0].payload == {"user": 42}
    assert seen[0].started_at >= at


async def test_plain_functions_run_in_threads_and_their_errors_are_told() -> None:
    registry = Registry()

    @registry.handler("divide")
    def divide(ctx: Context) -> None:
        _ = 1 / ctx.payload

    @registry.handler("exit")
    def leave(_: Context) -> None:
        raise SystemExit(3)

    async with embed(registry, settings=Settings(mode="local")) as client:
        await client.ensure_job("a", Interval(hours=1), handler="divide", payload=0)
        await client.ensure_job("b", Interval(hours=1), handler="exit")
        failed = await (await client.trigger_job("a")).wait(5)
        ok = await (await client.trigger_job("a", 4)).wait(5)
        left = await (await client.trigger_job("b")).wait(5)
    assert (failed.status, failed.error) == (ExecutionStatus.FAILED, "ZeroDivisionError: division by zero")
    assert failed.traceback is not None
    assert "ctx.payload" in failed.traceback
    assert ok.status is ExecutionStatus.OK
    assert (left.status, left.error) == (ExecutionStatus.FAILED, "SystemExit: 3")


async def test_declared_jobs_exist_once_the_replica_is_ready() -> None:
    registry = Registry()

    @registry.job("reports.daily", Interval(hours=24), timeout=300)
    async def report(_: Context) -> None: ...

    @registry.default
    async def other(_: Context) -> None: ...

    async with embed(registry, settings=Settings(mode="local")) as client:
        job = await client.get_job("reports.daily")
        assert (job.handler, job.document.spec.timeout) == ("reports.daily", 300)
        await client.ensure_job("any", Interval(hours=1))
        assert (await (await client.trigger_job("any")).wait(5)).status is ExecutionStatus.OK
