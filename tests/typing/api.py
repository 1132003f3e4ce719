"""Never run, only type-checked: natsched as its users write it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from natsched import (
    Client,
    Context,
    Cron,
    Interval,
    JobView,
    NatsRequest,
    Once,
    Publish,
    Record,
    Registry,
    connect,
    embed,
)
from natsched.testing.scheduler import Scheduler

registry = Registry()


@registry.job("reports.daily", Cron("0 3 * * *", timezone="Europe/Berlin"), timeout=300)
async def daily_report(ctx: Context) -> None:
    _: float = ctx.lag
    _due: datetime = ctx.due


@registry.handler("reminder")
async def reminder(ctx: Context) -> None:
    await send(ctx.payload["user"])


@registry.handler("plain")
def plain(ctx: Context) -> None:
    _: str = ctx.job_id


@registry.default
async def everything_else(ctx: Context) -> None:
    _ = ctx.metadata["team"]


async def send(user: str) -> None: ...


async def use() -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    async with connect("nats://127.0.0.1:4222") as client:
        await client.ensure_job("hourly_metrics", Interval(hours=1), handler="metrics", metadata={"team": "core"})
        await client.submit_job("reminder-42", Once(at), handler="reminder", payload={"user": "42"})
        await client.ensure_job("a", Interval(hours=1), target=NatsRequest(subject="reports.render", heartbeat=30))
        await client.ensure_job("b", Interval(hours=1), target=Publish(subject="orders.expired", body={"order": 7}))
        handle = await client.trigger_job("hourly_metrics", {"now": True})
        record: Record = await handle
        _: str | None = record.error
        result = await client.ensure_jobs(
            [{"id": "a", "schedule": Interval(seconds=30), "handler": "plain"}],
            progress=lambda done, total: None,
        )
        _created: int = result.created
        outline = await client.plan_files(Path("jobs.toml"), prune=True)
        if outline.has_changes:
            _left: tuple[str, ...] = (await client.apply_plan(outline)).changed
        await client.backup(Path("saved.gz"))
        _since: datetime = (await client.restore(Path("saved.gz"), overwrite=True)).since
    async with embed(registry, ["nats://a:4222", "nats://b:4222"]) as inner:
        await look(inner)


async def look(client: Client) -> None:
    async for job in client.iter_jobs("billing"):
        _: datetime | None = job.next_run


def test_of_a_user(natsched_scheduler: Scheduler) -> None:
    natsched_scheduler.ensure_job("tick", Interval(minutes=1), handler="plain")
    natsched_scheduler.advance(timedelta(minutes=5))
    natsched_scheduler.assert_ran_at("tick", [natsched_scheduler.now])
    _: JobView = natsched_scheduler.wait(lambda: natsched_scheduler.client.get_job("tick"))
