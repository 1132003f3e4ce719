"""Streams of events: each hears its jobs, nobody is waited for, nobody listens for nothing."""

import json
from typing import Any

import anyio
import pytest

from natsched.errors import Unavailable
from natsched.memory.history import MemoryHistory
from natsched.web.failing import Refused
from natsched.web.feed import MOST, ROOM, Feed, Listener
from tests.daemon.harness import World, in_a_world
from tests.factories import make_record


def _told(listener: Listener) -> list[str]:
    """Return the jobs of the events that wait."""
    taken, _ = listener.take()
    return [json.loads(text.split("data: ")[1])["job"] for text in taken]


async def _record(world: World, job: str, n: int = 1) -> None:
    record = make_record(job, f"{job.upper()}-{n}")
    await world.backend.history.create(record, ttl=record.due - record.due.min.replace(tzinfo=record.due.tzinfo))


async def _fed(world: World) -> Feed:
    feed = Feed(world.backend.history, world.clock)
    world.tasks.start_soon(feed.run)
    return feed


@in_a_world
async def test_a_listener_hears_its_jobs_from_then_on(world: World) -> None:
    feed = await _fed(world)
    await _record(world, "billing.early")
    with feed.listening("billing") as some, feed.listening() as everything:
        await world.clock.sleep(1)
        for job in ("billing.daily", "billing", "billings.other", "mail"):
            await _record(world, job)
        await world.clock.sleep(1)
        assert _told(some) == ["billing.daily", "billing"]
        assert _told(everything) == ["billing.daily", "billing", "billings.other", "mail"]


@in_a_world
async def test_who_reads_too_slowly_loses_the_oldest_and_is_told_how_many(world: World) -> None:
    feed = await _fed(world)
    with feed.listening() as listener:
        await world.clock.sleep(1)
        for n in range(ROOM + 7):
            await _record(world, "a", n)
        await world.clock.sleep(1)
        taken, lost = listener.take()
        assert (len(taken), lost) == (ROOM, 7)
        assert "id: a.A-7." in taken[0]
        assert listener.take() == ([], 0)


@in_a_world
async def test_the_history_is_followed_while_somebody_listens_and_through_outages(world: World) -> None:
    follows: list[str] = []
    follow = MemoryHistory.follow

    def counted(self: MemoryHistory, *_: Any) -> Any:
        follows.append("follow")
        if len(follows) == 1:
            raise Unavailable
        return follow(self)

    world.backend.history.follow = counted.__get__(world.backend.history)  # type: ignore[method-assign]
    feed = await _fed(world)
    await world.clock.sleep(10)
    assert follows == []
    with feed.listening() as listener:
        await world.clock.sleep(10)
        await _record(world, "a")
        await world.clock.sleep(1)
        assert _told(listener) == ["a"]
    await world.clock.sleep(1)
    assert (len(follows), len(world.backend.streams.history._followers)) == (2, 0)


@in_a_world
async def test_too_many_are_refused_and_all_end_with_the_feed(world: World) -> None:
    feed = await _fed(world)
    async with anyio.create_task_group() as tasks:
        gone: list[int] = []

        async def listen(number: int) -> None:
            with feed.listening() as listener:
                await listener.some.wait()
                assert listener.closed
                gone.append(number)

        for number in range(MOST):
            tasks.start_soon(listen, number)
        await world.clock.sleep(1)
        with pytest.raises(Refused, match="close one"), feed.listening():
            pass
        feed.close()
    assert len(gone) == MOST
    with feed.listening() as late:
        assert late.closed
