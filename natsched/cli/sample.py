"""The handlers of the sample jobs that `natsched dev` runs (`config/jobs.toml`)."""

import hashlib

import anyio

from natsched.logs import get_logger
from natsched.targets.context import Context
from natsched.targets.registry import Registry

registry = Registry()
log = get_logger(__name__)

_ROUNDS = 50_000


@registry.handler("hello")
async def hello(ctx: Context) -> None:
    """Greet whom the payload names."""
    log.info(
        "hello",
        action="hello",
        name=ctx.payload["name"] if ctx.payload is not None else "nobody",
        job=ctx.job_id,
        lag=ctx.lag,
    )


@registry.handler("report")
def report(ctx: Context) -> None:
    """Work for a few milliseconds; a plain function, so it runs in a thread and holds nothing up."""
    digest = hashlib.pbkdf2_hmac("sha256", ctx.execution_id.encode(), b"report", _ROUNDS)
    log.info("report", action="report", digest=digest.hex()[:12], team=ctx.metadata.get("team"))


@registry.handler("slow")
async def slow(ctx: Context) -> None:
    """Take a second or more, as a call to another service may."""
    await anyio.sleep(1.2)
    log.info("done at last", action="slow", job=ctx.job_id)
