"""A worker for jobs with `target=NatsRequest(subject="reports.render")`, with nats-py and nothing of natsched.

    python worker.py nats://127.0.0.1:4222 reports.render

docs/workers.md has the protocol. Start as many as you like: one of them gets each request.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg


class RefusedError(Exception):
    """Another attempt would meet this again."""


async def render(order: dict[str, Any], check_in: Callable[..., Any]) -> dict[str, Any]:
    """Stand for the work: some pages, each of which takes some seconds."""
    pages = order.get("pages")
    if not isinstance(pages, int):
        raise RefusedError(f"pages has to be a number, not {pages!r}")
    for page in range(1, pages + 1):
        await asyncio.sleep(order.get("seconds", 0.1))
        await check_in(f"page {page} of {pages}", {"page": page})
    if order.get("printer") == "jammed":
        raise RuntimeError("the printer is jammed")
    return {"pages": pages, "worker": os.getpid()}


async def handle(client: Client, request: Msg) -> None:
    """Do the work of one request and answer it, unless it is cancelled."""
    told = request.headers or {}
    run = f"{told['Natsched-Execution']} {told['Natsched-Attempt']}"

    async def check_in(text: str, data: object = None) -> None:
        await client.publish(told["Natsched-Progress"], json.dumps({"text": text, "data": data}).encode())

    async def answer(body: bytes, headers: dict[str, str] | None = None) -> None:
        await client.publish(request.reply, body, headers=headers)

    async def fail(error: Exception, *, again: bool) -> None:
        message = " ".join(str(error).split())  # a header is one line
        await answer(b"", {"Natsched-Error": message, "Natsched-Retryable": str(again).lower()})

    async def stop(_: Msg) -> None:
        work.cancel()

    async def do() -> bytes:
        return json.dumps(await render(json.loads(request.data or b"{}"), check_in)).encode()

    work = asyncio.ensure_future(do())
    cancelled = await client.subscribe(told["Natsched-Cancel"], cb=stop)
    print("began", run, flush=True)
    try:
        await answer(await asyncio.wait_for(work, seconds_left(told)))
    except (asyncio.CancelledError, TimeoutError):  # nobody waits for an answer any more
        print("cancelled", run, flush=True)
    except RefusedError as error:
        await fail(error, again=False)
    except Exception as error:
        await fail(error, again=True)
    finally:
        await cancelled.unsubscribe()


def seconds_left(told: dict[str, str]) -> float | None:
    """Return how long there is for the work: a message to cancel it may get lost."""
    if "Natsched-Deadline" not in told:
        return None
    return (datetime.fromisoformat(told["Natsched-Deadline"]) - datetime.now(UTC)).total_seconds()


async def main(server: str, subject: str) -> None:
    client = await nats.connect(server, name="a worker", max_reconnect_attempts=-1)
    async with asyncio.TaskGroup() as requests:

        async def begin(request: Msg) -> None:
            requests.create_task(handle(client, request))

        await client.subscribe(subject, queue="workers", cb=begin)
        await client.flush()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
