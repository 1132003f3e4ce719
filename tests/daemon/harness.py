"""The world of `natsched.testing` with handlers that note their calls, for tests of the daemon."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from natsched.targets.context import Context
from natsched.testing import world as worlds
from natsched.testing.world import Member, ServerlikeClock, open_world
from tests.virtual import run_virtual

__all__ = ["Member", "ServerlikeClock", "World", "in_a_world", "world"]


@dataclass(slots=True)
class World(worlds.World):
    """A world whose handlers note their calls."""

    calls: list[Context] = field(default_factory=list)

    def handler(self, name: str = "h", takes: float = 0.0, fails: Exception | None = None) -> None:
        """Register a handler that notes its calls, takes that many seconds and may fail."""

        async def run(ctx: Context) -> None:
            self.calls.append(ctx)
            await self.clock.sleep(takes)
            if fails is not None:
                raise fails

        self.registry.handler(name)(run)

    def offsets(self, job: str) -> list[float]:
        """Return when the job's runs started, in seconds from the beginning of time."""
        epoch = self.clock.now() - timedelta(seconds=self.clock.monotonic())
        return [round((call.started_at - epoch).total_seconds(), 3) for call in self.calls if call.job_id == job]


@asynccontextmanager
async def world() -> AsyncGenerator[World, None]:
    async with open_world(World) as one:
        yield one


def in_a_world(test: Callable[[World], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Run an async test in a world of its own, on virtual time."""

    async def run() -> None:
        async with world() as one:
            await test(one)

    def on_virtual_time() -> None:
        run_virtual(run)

    on_virtual_time.__name__ = test.__name__
    return on_virtual_time
