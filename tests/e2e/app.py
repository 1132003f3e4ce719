"""The application that the replicas of these tests serve: handlers that write down when they start and end."""

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any, Final, cast

import anyio
import anyio.lowlevel

from natsched import Context, Interval, Registry

JOURNAL: Final = "E2E_JOURNAL"
PARENT: Final = "E2E_PARENT"
TICK: Final = 4

registry = Registry()
declaring = Registry()
other = Registry()


@registry.handler("work")
@declaring.handler("work")
async def work(ctx: Context) -> None:
    """Last as long as the payload says: `lasts`, seconds, or a list with those of each attempt."""
    _write(ctx, "start")
    try:
        await anyio.sleep(_lasts(ctx))
    except anyio.get_cancelled_exc_class():
        _write(ctx, "cancelled")
        raise
    _write(ctx, "end")


@registry.handler("fails")
async def fails(ctx: Context) -> None:
    """Fail as often as the payload says."""
    await work(ctx)
    if ctx.attempt <= ctx.payload["fails"]:
        raise ConnectionError("nobody there")


@registry.handler("thread")
def thread(ctx: Context) -> None:
    """Last in a thread, where nothing can cancel it."""
    _write(ctx, "start")
    time.sleep(_lasts(ctx))
    _write(ctx, "end")


@registry.handler("watches")
def watches(ctx: Context) -> None:
    """Last in a thread that looks whether it is to end."""
    _write(ctx, "start")
    end = time.time() + _lasts(ctx)
    while time.time() < end and not ctx.cancelled:
        ctx.check_in(f"{end - time.time():.1f} s left")
        time.sleep(0.02)
    _write(ctx, "cancelled" if ctx.cancelled else "end")


@registry.handler("steps")
async def steps(ctx: Context) -> None:
    """Take a tenth of a second for each step, and wait before each while it is paused."""
    _write(ctx, "start")
    begun = cast("dict[str, int]", await ctx.get_data() or {}).get("step", 0)
    for step in range(begun, int(_lasts(ctx) * 10)):
        await ctx.checkpoint()
        ctx.check_in(f"step {step}", {"step": step, "from": begun})
        await ctx.save_data({"step": step})
        await anyio.sleep(0.1)
    _write(ctx, "end")


@declaring.job("declared.tick", Interval(seconds=TICK))
async def tick(ctx: Context) -> None:
    _write(ctx, "start")
    await anyio.lowlevel.checkpoint()
    _write(ctx, "end")


@declaring.job("declared.often", Interval(milliseconds=500))
async def often(ctx: Context) -> None:
    await tick(ctx)


@other.handler("unrelated")
async def unrelated(ctx: Context) -> None:
    await work(ctx)


def _lasts(ctx: Context) -> float:
    lasts = (ctx.payload or {}).get("lasts", 0)
    return float(lasts[min(ctx.attempt, len(lasts)) - 1] if isinstance(lasts, list) else lasts)


def _write(ctx: Context, what: str) -> None:
    """Append one line in one write, so that lines of many processes never mix."""
    line: dict[str, Any] = {
        "what": what,
        "at": time.time(),
        "job": ctx.job_id,
        "execution": ctx.execution_id,
        "due": ctx.due.isoformat(),
        "attempt": ctx.attempt,
        "replica": ctx.replica,
        "pid": os.getpid(),
        "payload": ctx.payload,
    }
    file = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


def _die_with_the_test() -> None:
    """Have this process killed when the test's process ends, however that ends."""
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(1)


_die_with_the_test()
