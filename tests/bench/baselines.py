"""What the figures are compared with: the server's own schedules, and a bare loop over nats-py."""

import json
import time
from datetime import UTC, datetime

import anyio
import nats
from nats.js.api import RetentionPolicy, StreamConfig

from tests.bench.setting import say, server

SCHEDULES = 5_000
SECONDS = 5.0


async def own_schedules() -> None:
    """Let the server fire `@at` schedules, 1,000 a second, and see how late they arrive."""
    with server() as url:
        connection = await nats.connect(url)
        js = connection.jetstream()
        await js.add_stream(
            StreamConfig(
                name="AT",
                subjects=["at.>"],
                retention=RetentionPolicy.WORK_QUEUE,
                allow_msg_schedules=True,
            )
        )
        lags: list[float] = []
        done = anyio.Event()

        async def arrived(message: object) -> None:
            lags.append(time.time() - float(message.data))  # type: ignore[attr-defined]
            if len(lags) == SCHEDULES:
                done.set()

        await js.subscribe("at.due.*", durable="due", cb=arrived)
        first = time.time() + 4
        for number in range(SCHEDULES):
            at = first + number / 1000
            when = datetime.fromtimestamp(at, UTC).isoformat()
            headers = {"Nats-Schedule": f"@at {when}", "Nats-Schedule-Target": f"at.due.{number}"}
            await js.publish_async(f"at.plan.{number}", repr(at).encode(), headers=headers)
        with anyio.fail_after(60):
            await done.wait()
        lags.sort()
        say(
            "baseline: the server's own @at schedules, 1,000/s",
            {
                "p50_ms": round(lags[len(lags) // 2] * 1000, 1),
                "p99_ms": round(lags[int(len(lags) * 0.99)] * 1000, 1),
            },
        )
        await connection.close()


async def bare_loop() -> None:
    """Pull, publish the next, acknowledge: the least that any scheduler on nats-py must do for a run."""
    with server() as url:
        connection = await nats.connect(url)
        js = connection.jetstream()
        await js.add_stream(StreamConfig(name="BARE", subjects=["bare.>"], retention=RetentionPolicy.WORK_QUEUE))
        body = json.dumps({"uid": "0" * 26, "n": 1, "at": datetime.now(UTC).isoformat()}).encode()
        for number in range(1000):
            await js.publish_async(f"bare.{number}", body)
        pull = await js.pull_subscribe("bare.>", durable="bare")
        rounds = 0
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for message in await pull.fetch(256, timeout=5):
                await js.publish_async(message.subject, body)
                await message.ack()
                rounds += 1
        say("baseline: a bare loop of pull, publish, ack", {"per_second": round(rounds / SECONDS)})
        await connection.close()
