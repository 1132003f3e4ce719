"""What the replicas serve: handlers that write down when they begin and end, in a file for each process.

Nothing of natsched takes part in that, and neither does the wall clock, which is wrong where a test makes it so.
"""

import asyncio
import functools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

import anyio

import tests.e2e.app  # noqa: F401 - has this process die with the test
from natsched import Context, Registry

FOLDER: Final = "FAULTS_FOLDER"
CLOCK: Final = "FAULTS_CLOCK"
"""Seconds from the monotonic clock, which all processes share, to the true time."""

registry = Registry()


@registry.handler("work")
async def work(ctx: Context) -> None:
    """Last as long as the payload says, and fail as often."""
    _write(ctx, "begin")
    try:
        await anyio.sleep(ctx.payload["lasts"])
    except anyio.get_cancelled_exc_class():
        _write(ctx, "cancelled")
        raise
    _finish(ctx)


@registry.handler("thread")
def thread(ctx: Context) -> None:
    """Last in a thread, which nothing can cancel."""
    _write(ctx, "begin")
    threading.Event().wait(ctx.payload["lasts"])  # `time.sleep` fails where the clock is set wrong
    _finish(ctx)


@registry.handler("look")
async def look(ctx: Context) -> None:
    """Write down what this process holds."""
    _write(ctx, "look", tasks=len(asyncio.all_tasks()), **_held())


def _held() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return {"files": len(list(Path("/proc/self/fd").iterdir())), "memory": memory}


def _finish(ctx: Context) -> None:
    if ctx.attempt <= ctx.payload["fails"]:
        _write(ctx, "failed")
        raise ConnectionError("nobody there")
    _write(ctx, "end")


def _write(ctx: Context, what: str, **more: Any) -> None:
    """Append one line in one write: what a killed process wrote is whole."""
    line = {
        "what": what,
        "at": time.monotonic() + float(os.environ[CLOCK]),
        "job": ctx.job_id,
        "execution": ctx.execution_id,
        "attempt": ctx.attempt,
        "due": ctx.due.isoformat(),
        "pid": os.getpid(),
        "version": ctx.metadata.get("version"),
        **more,
    }
    os.write(_file(), json.dumps(line).encode() + b"\n")


@functools.cache
def _file() -> int:
    path = Path(os.environ[FOLDER]) / f"{os.getpid()}.journal"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
