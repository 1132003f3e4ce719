"""What many jobs cost: ensuring them, starting beside them, sweeping them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from natsched import connect
from natsched.clock import SystemClock
from natsched.core.schedules import Interval
from natsched.wiring import open_backend
from tests.bench.lag import SECOND, run
from tests.bench.setting import say, server, settings, spread_jobs, worker

MANY = 100_000
FAR = Interval(days=30)


def far_jobs(number: int) -> Iterator[dict[str, Any]]:
    """Yield jobs that are not due while this runs."""
    for index in range(number):
        yield {"id": f"far.{index}", "schedule": FAR, "handler": "bench"}


async def bulk(number: int = 20_000) -> None:
    """Ensure jobs that are new, then the same ones again."""
    with server() as url:
        async with connect(settings=settings(url)) as client:
            figures: dict[str, float] = {"jobs": number}
            for name in ("created", "unchanged"):
                began = time.monotonic()
                result = await client.ensure_jobs(far_jobs(number))
                assert getattr(result, name) == number, result
                figures[f"{name}_per_second"] = round(number / (time.monotonic() - began))
            say("bulk ensure_jobs", figures)


async def provisioning() -> None:
    """Open a backend whose assets exist already."""
    with server() as url:
        chosen = settings(url)
        times: list[float] = []
        for _ in range(6):
            began = time.monotonic()
            async with open_backend(chosen):
                times.append(round((time.monotonic() - began) * 1000, 1))
        say("provisioning", {"first_ms": times[0], "existing_ms": sorted(times[1:])[len(times) // 2]})


async def start() -> None:
    """Start a replica on an empty server, and on one with many jobs."""
    figures: dict[str, Any] = {"jobs": MANY}
    with server() as url:
        async with worker(url) as replica:
            empty = await replica.line()
        async with connect(settings=settings(url)) as client:
            await client.ensure_jobs(far_jobs(MANY))
        async with worker(url) as replica:
            full = await replica.line()
        for name, line in (("empty", empty), ("full", full)):
            figures |= {f"{name}_{key}": value for key, value in line.items()}
    say("start of a replica", figures)


async def sweep() -> None:
    """Sweep many healthy jobs while others fire, with their lag before and during it."""
    with server() as url:
        async with connect(settings=settings(url)) as client:
            await client.ensure_jobs(far_jobs(MANY))
            begin = SystemClock().now().astimezone(UTC) + timedelta(seconds=5)
            await client.ensure_jobs(spread_jobs(200, begin, SECOND))
        async with worker(url) as replica:
            await replica.line()
            await replica.tell("swept")
            await replica.line()
            before = await run(replica, datetime.now(UTC), 15)
            await anyio.sleep(9)
            await replica.tell("reset")
            await replica.tell("swept")
            swept = await replica.line()
            await replica.tell("report")
            during = await replica.line()
            say(
                "sweep",
                {
                    **swept,
                    "before_p50_ms": before["p50_ms"],
                    "before_p99_ms": before["p99_ms"],
                    "during_p50_ms": during["p50_ms"],
                    "during_p99_ms": during["p99_ms"],
                    "gaps": during["gaps"],
                    "rss_mb": during["rss_mb"],
                },
            )
