"""Commands that only talk to NATS: load the settings, connect, ask, and leave."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from natsched.cli.flags import Where
from natsched.cli.logs import hush
from natsched.client.client import Client
from natsched.client.connecting import connect
from natsched.config import Settings
from natsched.errors import ConfigError

T = TypeVar("T")


def ask(where: Where, question: Callable[[Client], Awaitable[T]]) -> T:
    """Connect as the flags say, ask, and return the answer."""
    hush(debug=where.debug)
    settings = impatient(of_nats(where.settings()))

    async def run() -> T:
        async with connect(settings=settings) as client:
            return await question(client)

    return anyio.run(run)


def of_nats(settings: Settings) -> Settings:
    """Return the settings, or raise ConfigError if they say that there is no NATS."""
    if settings.mode == "local":
        raise ConfigError(
            'mode is "local": jobs then live in the memory of one process, which no other can see. '
            'Set mode = "nats" for this command.'
        )
    return settings


def impatient(settings: Settings) -> Settings:
    """Return the settings of one who waits at a terminal: no longer for NATS than one attempt to connect may take."""
    scheduler = settings.scheduler
    limit = min(settings.nats.connect_timeout, scheduler.jetstream_ready_timeout)
    return settings.model_copy(update={"scheduler": scheduler.model_copy(update={"jetstream_ready_timeout": limit})})
