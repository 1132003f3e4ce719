"""From settings to working parts: the one place that chooses between NATS and memory."""

import platform
import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.memory.backend import MemoryBackend
from natsched.ports import Backend
from natsched.protocol.operations import Operations
from natsched.protocol.operations import Settings as OperationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A backend that is ready, and the clock that goes with it."""

    backend: Backend
    clock: SystemClock


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncGenerator[Opened, None]:
    """Connect, provision and give the backend that the settings ask for."""
    clock = SystemClock()
    if settings.mode == "local":
        async with MemoryBackend(clock, ack_wait=settings.scheduler.ack_wait) as memory:
            yield Opened(backend=memory, clock=clock)
        return
    raise NotImplementedError


def operations(opened: Opened, settings: Settings) -> Operations:
    """Return the operations on jobs as the settings want them."""
    return Operations(
        opened.backend,
        opened.clock,
        OperationSettings(
            lead=settings.scheduler.lead,
            completed_retention=settings.scheduler.completed_retention,
            history_retention=settings.history.retention,
            failures_retention=settings.history.failures_retention,
            budget=settings.scheduler.add_job_retry_budget,
        ),
        random_bits,
    )


def random_bits() -> int:
    """Return 80 random bits, for new ids."""
    return secrets.randbits(80)


def replica_name(settings: Settings) -> str:
    """Return this replica's name: the configured one, or the host's made one token of a subject."""
    if settings.replica.name is not None:
        return settings.replica.name
    return re.sub(r"[^A-Za-z0-9_-]", "-", platform.node()) or "replica"


