"""The ports on JetStream: what the contract does not say, since it is about this server."""

from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path

import anyio
import pytest

from natsched.core.jobs import JobId
from natsched.errors import InvalidJob, Unavailable
from natsched.jetstream.api import call
from natsched.jetstream.naming import Names
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from natsched.jetstream.topology import Topology
from natsched.ports import Backend
from tests.factories import make_job, make_plan_hint, make_record
from tests.jetstream.opening import Opened, open_backend

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 15
LONG = timedelta(hours=1)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(ServerOptions(store=tmp_path)) as server:
        yield server


@pytest.fixture
async def opened(server: EmbeddedServer) -> AsyncIterator[Opened]:
    async with open_backend(server) as opened:
        yield opened


async def test_it_has_all_that_the_port_names(opened: Opened) -> None:
    backend: Backend = opened.backend
    assert (await backend.server_time()).tzinfo is UTC


async def test_a_document_that_the_server_cannot_take_says_what_to_do(opened: Opened) -> None:
    with pytest.raises(InvalidJob, match="max_payload"):
        await opened.backend.jobs.write(make_job(payload="x" * opened.connection.nc.max_payload), expected=0)
    largest = make_job(payload="x" * (opened.connection.nc.max_payload - 3000))
    await opened.backend.jobs.write(largest, expected=0)
    assert (await opened.backend.jobs.read(largest.id)).job == largest


async def test_names_of_ones_own_are_used_throughout(server: EmbeddedServer) -> None:
    names = Names(stream="S", prefix="team.cron", consumer="w", jobs="J", executions="E", locks="L")
    async with open_backend(server, topology=Topology(names=names, queues=("default", "mail"))) as opened:
        await use_all_of(opened)
        answer = await call(opened.connection, "STREAM.NAMES")
        assert sorted(answer["streams"]) == ["KV_E", "KV_J", "KV_L", "S"]


async def test_it_works_by_way_of_a_domain(tmp_path: Path) -> None:
    extra = f'jetstream: {{domain: "hub", store_dir: "{tmp_path}"}}'
    async with EmbeddedServer(ServerOptions(store=tmp_path, extra=extra)) as server:
        topology = Topology(names=Names(domain="hub"), queues=("default", "mail"))
        async with open_backend(server, topology=topology) as opened:
            await use_all_of(opened)


async def use_all_of(opened: Opened) -> None:
    """Do each thing once."""
    backend = opened.backend
    job = make_job("a.b")
    revision = await backend.jobs.write(job, expected=0)
    assert (await backend.jobs.read(job.id)).revision == revision
    assert (await backend.jobs.read_many([job.id]))[job.id].job == job
    assert [stored.job async for part in backend.jobs.scan("a") for stored in part] == [job]
    await backend.jobs.delete(job.id, expected=revision)
    hint = make_plan_hint("a.b", queue="mail")
    seq = await backend.hints.schedule(hint, await backend.server_time() + LONG, expected=0)
    (pending,) = await backend.hints.scheduled([hint])
    assert pending is not None
    assert (pending.seq, pending.hint) == (seq, hint)
    await backend.hints.delete(seq)
    await backend.hints.deliver(hint)
    async with backend.intake("mail") as intake:
        intake.want(1)
        with anyio.fail_after(DEADLINE):
            (delivery,) = await intake.receive()
        assert delivery.hint == hint
        delivery.ack()
    record = make_record("a.b", "A-1")
    async with backend.history.follow("a.b") as records, backend.locks.endings("lease") as endings:
        assert await backend.history.create(record, ttl=LONG)
        await backend.locks.release(await backend.locks.create("lease.1", b"x", ttl=LONG))
        with anyio.fail_after(DEADLINE):
            assert await anext(records) == record
            assert await anext(endings) == "lease.1"
    assert await backend.history.list(execution="A-1") == [record]


async def test_an_outage_is_unavailable_in_time_and_over_afterwards(opened: Opened, server: EmbeddedServer) -> None:
    await server.stop_async()
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
        await opened.backend.jobs.read(JobId("a"))
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
        await opened.backend.jobs.write(make_job(), expected=0)
    await server.start_async()
    with anyio.fail_after(DEADLINE):
        await opened.connection.wait_connected()
        while True:
            try:
                await opened.backend.jobs.read(JobId("a"))
            except Unavailable:
                continue
            break


async def test_the_newest_records_of_a_job_are_found_among_many(opened: Opened) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(3000):
            job = "rare.one" if number % 100 == 50 else f"often.{number % 7}"
            tasks.start_soon(_create, opened, job, number)
    everything = await opened.backend.history.list(limit=5000)
    assert len(everything) == 3000
    for job in ("rare.one", "often.3"):
        of_job = [record for record in everything if record.job == job]
        for limit in (1, 7, 100, 5000):
            assert await opened.backend.history.list(job, limit=limit) == of_job[:limit]
    for limit in (1, 99, 1000):
        assert await opened.backend.history.list(limit=limit) == everything[:limit]
    assert await opened.backend.history.list(limit=0) == []


async def _create(opened: Opened, job: str, number: int) -> None:
    assert await opened.backend.history.create(make_record(job, f"X-{number}"), ttl=LONG)
