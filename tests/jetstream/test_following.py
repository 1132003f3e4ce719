"""Following a stream through the loss of the consumer that does it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from natsched.jetstream.api import call
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from tests.factories import make_job, make_record
from tests.jetstream.opening import Opened, open_backend

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 20
LONG = timedelta(minutes=5)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(ServerOptions(store=tmp_path)) as server:
        yield server


@pytest.fixture
async def opened(server: EmbeddedServer) -> AsyncIterator[Opened]:
    async with open_backend(server) as opened:
        yield opened


async def consumers(opened: Opened, bucket: str) -> list[str]:
    answer = await call(opened.connection, f"CONSUMER.NAMES.{opened.names.bucket_stream(bucket)}")
    return [str(name) for name in answer["consumers"] or ()]


async def end_lease(opened: Opened, key: str) -> None:
    lock = await opened.backend.locks.create(key, b"", ttl=LONG)
    await opened.backend.locks.release(lock)


async def test_a_lost_consumer_is_replaced_and_the_loss_is_told(opened: Opened) -> None:
    stream = opened.names.bucket_stream(opened.names.locks)
    async with opened.backend.locks.endings("lease") as endings:
        await end_lease(opened, "lease.1")
        with anyio.fail_after(DEADLINE):
            assert await anext(endings) == "lease.1"
        (name,) = await consumers(opened, opened.names.locks)
        await call(opened.connection, f"CONSUMER.DELETE.{stream}.{name}")
        with anyio.fail_after(DEADLINE):
            assert await anext(endings) == ""
        await end_lease(opened, "lease.2")
        with anyio.fail_after(DEADLINE):
            assert await anext(endings) == "lease.2"


async def test_what_ended_during_an_outage_is_told_after_it(opened: Opened, server: EmbeddedServer) -> None:
    async with opened.backend.locks.endings("lease") as endings:
        await opened.backend.locks.create("lease.short", b"", ttl=timedelta(seconds=1))
        server.kill()
        await server.start_async()
        seen: set[str] = set()
        with anyio.fail_after(DEADLINE):
            while seen != {"", "lease.short"}:
                seen.add(await anext(endings))


async def test_records_of_an_outage_are_followed_after_it(opened: Opened, server: EmbeddedServer) -> None:
    first, second = make_record("a", "A-1"), make_record("a", "A-2")
    async with opened.backend.history.follow("a") as records:
        await opened.backend.history.create(first, ttl=LONG)
        with anyio.fail_after(DEADLINE):
            assert await anext(records) == first
        server.kill()
        await server.start_async()
        with anyio.fail_after(DEADLINE):
            await opened.connection.wait_connected()
            await opened.backend.history.create(second, ttl=LONG)
            assert await anext(records) == second


async def test_more_than_one_request_brings_are_followed_in_order(opened: Opened) -> None:
    async with opened.backend.history.follow() as records:
        async with anyio.create_task_group() as tasks:
            for number in range(1500):
                tasks.start_soon(_create, opened, number)
        with anyio.fail_after(DEADLINE):
            followed = [(await anext(records)).execution for _ in range(1500)]
    listed = await opened.backend.history.list(limit=2000)
    assert followed == [record.execution for record in reversed(listed)]


async def _create(opened: Opened, number: int) -> None:
    await opened.backend.history.create(make_record("a", f"A-{number}"), ttl=LONG)


async def test_the_consumer_is_gone_after_the_context(opened: Opened) -> None:
    async with opened.backend.locks.endings("lease"), opened.backend.history.follow():
        assert len(await consumers(opened, opened.names.locks)) == 1
        assert len(await consumers(opened, opened.names.executions)) == 1
    assert await consumers(opened, opened.names.locks) == []
    assert await consumers(opened, opened.names.executions) == []


async def test_leaving_during_an_outage_does_not_hang(opened: Opened, server: EmbeddedServer) -> None:
    with anyio.fail_after(DEADLINE):
        async with opened.backend.history.follow(), opened.backend.intake("default"):
            await server.stop_async()
    await server.start_async()


async def test_an_error_inside_the_context_comes_out_as_it_is(opened: Opened) -> None:
    with pytest.raises(KeyError):
        async with opened.backend.history.follow(), opened.backend.intake("default"):
            raise KeyError


@pytest.mark.parametrize("loss", ["consumer", "server"])
async def test_a_walk_goes_on_behind_what_it_showed_when_its_consumer_is_lost(
    opened: Opened, server: EmbeddedServer, loss: str
) -> None:
    ids = [f"x.{number}" for number in range(100)]
    for job in ids:
        await opened.backend.jobs.write(make_job(job), expected=0)
    seen: list[str] = []
    with anyio.fail_after(DEADLINE):
        async with opened.backend.jobs.walk(chunk=8) as chunks:
            async for chunk in chunks:
                if not seen:
                    if loss == "server":
                        server.kill()
                        await server.start_async()
                    else:
                        (name,) = await consumers(opened, opened.names.jobs)
                        await call(
                            opened.connection,
                            f"CONSUMER.DELETE.{opened.names.bucket_stream(opened.names.jobs)}.{name}",
                        )
                seen += [stored.id for stored in chunk]
    assert seen == ids
    assert await consumers(opened, opened.names.jobs) == []


async def test_a_walk_ends_although_what_it_was_to_show_is_removed(opened: Opened) -> None:
    for number in range(20):
        await opened.backend.jobs.write(make_job(f"x.{number}"), expected=0)
    bucket = opened.names.jobs
    seen: list[str] = []
    with anyio.fail_after(DEADLINE):
        async with opened.backend.jobs.walk(chunk=2) as chunks:
            async for chunk in chunks:
                seen += [stored.id for stored in chunk]
                await call(
                    opened.connection,
                    f"STREAM.PURGE.{opened.names.bucket_stream(bucket)}",
                    {"filter": opened.names.key(bucket, "x.19")},
                )
    assert seen == [f"x.{number}" for number in range(19)]
