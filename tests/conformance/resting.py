"""What comes by itself: a rest, in which lives end, schedules fire and what is not answered for comes back."""

import time
from dataclasses import dataclass
from typing import Final

import anyio

from natsched.core.hints import Pending
from tests.conformance.world import MOMENT, Answer, World, until

_MEMORY: Final = 10 * MOMENT
_LEAST: Final = 1.5 * MOMENT


@dataclass(frozen=True, slots=True)
class Rest:
    """Let time pass, and tell all that is then to be seen; JetStream has a while to come to the same."""

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if wanted is None:
            await anyio.sleep(_MEMORY.total_seconds())
            return await _all(world)
        world.check_speed()
        await anyio.sleep(_LEAST.total_seconds())
        seen = await until(lambda: _all(world), wanted)
        world.began = time.monotonic()
        return seen


async def _all(world: World) -> Answer:
    backend = world.backend
    documents = [(it.id, it.job) async for chunk in backend.jobs.scan() for it in chunk]
    waiting = [_shown(world, it) async for chunk in backend.hints.walk() for it in chunk]
    delivered = [_shown(world, it) for it in await backend.hints.deliveries()]
    return (
        documents,
        sorted(waiting, key=str),
        sorted(delivered, key=str),
        list(await backend.history.list()),
        dict(await backend.locks.list("")),
    )


def _shown(world: World, pending: Pending) -> Answer:
    return pending.job, pending.hint, world.offset(pending.at)
