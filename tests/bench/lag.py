"""How late runs start: 1,000 jobs every second, spread and all at once, and how many runs a second there can be."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from natsched import connect
from natsched.clock import SystemClock
from tests.bench.setting import Worker, say, server, settings, spread_jobs, worker

SECOND = timedelta(seconds=1)
LIGHT: dict[str, Any] = {"history": "none", "delivery": "at_most_once", "overlap": "allow"}


async def spread() -> None:
    await _measure("lag, 1,000 jobs every 1 s, spread", 1000, 20)


async def aligned() -> None:
    await _measure("lag, 1,000 jobs every 1 s, all at once", 1000, 20, aligned=True)


async def sustained() -> None:
    await _measure("sustained runs/s, everything on", 2500, 20)


async def sustained_light() -> None:
    await _measure("sustained runs/s, light", 5000, 20, **LIGHT)


async def _measure(name: str, jobs: int, seconds: float, *, aligned: bool = False, **options: Any) -> None:
    with server() as url:
        start = _soon()
        async with connect(settings=settings(url)) as client:
            made = spread_jobs(jobs, start, SECOND, **options)
            if aligned:
                made = [{**job, "schedule": made[0]["schedule"]} for job in made]
            await client.ensure_jobs(made)
        async with worker(url) as replica:
            ready = await replica.line()
            say(name, {"jobs": jobs, **await run(replica, start, seconds), **ready})


async def run(replica: Worker, start: datetime, seconds: float) -> dict[str, Any]:
    """Let a replica warm up past `start`, measure it for that long and return its figures."""
    clock = SystemClock()
    await clock.sleep(max(0.0, (start - clock.now()).total_seconds()) + 3)
    await replica.tell("reset")
    await anyio.sleep(seconds)
    await replica.tell("report")
    return await replica.line()


def _soon() -> datetime:
    now = SystemClock().now().astimezone(UTC)
    return now.replace(microsecond=0) + timedelta(seconds=6)
