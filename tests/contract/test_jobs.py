"""`ports.JobStore`: documents under compare-and-set."""

from datetime import timedelta

import anyio
import pytest

from natsched.core.jobs import Job, JobId, Stored, Unreadable
from natsched.errors import Conflict
from natsched.ports import Backend
from tests.contract.servers import Server
from tests.contract.waiting import eventually
from tests.factories import make_job

pytestmark = pytest.mark.anyio
A = JobId("a")


async def scanned(backend: Backend, prefix: str = "", *, chunk: int = 256, after: int = 0) -> list[str]:
    return [
        stored.id
        async for stored_chunk in backend.jobs.scan(prefix, chunk=chunk, after=after)
        for stored in stored_chunk
    ]


async def create(backend: Backend, *ids: str) -> None:
    for job in ids:
        await backend.jobs.write(make_job(job), expected=0)


async def test_a_key_never_written_is_missing_at_revision_0(backend: Backend) -> None:
    assert await backend.jobs.read(A) == Stored(id=A, job=None, revision=0)


async def test_what_was_written_is_read_with_its_revision(backend: Backend) -> None:
    job = make_job("a.b", payload={"x": [1, None, "é"]}, metadata={"team": "blue"}, timeout=2.5)
    revision = await backend.jobs.write(job, expected=0)
    assert await backend.jobs.read(job.id) == Stored(id=job.id, job=job, revision=revision)


async def test_a_key_that_exists_cannot_be_created(backend: Backend) -> None:
    await create(backend, "a")
    with pytest.raises(Conflict):
        await backend.jobs.write(make_job("a", n=2), expected=0)
    assert (await backend.jobs.read(A)).job == make_job("a")


async def test_a_key_that_is_missing_cannot_be_updated(backend: Backend) -> None:
    with pytest.raises(Conflict):
        await backend.jobs.write(make_job("a"), expected=7)
    assert (await backend.jobs.read(A)).job is None


async def test_only_who_read_the_last_revision_can_update(backend: Backend) -> None:
    first = await backend.jobs.write(make_job("a", n=1), expected=0)
    second = await backend.jobs.write(make_job("a", n=2), expected=first)
    assert second > first
    with pytest.raises(Conflict):
        await backend.jobs.write(make_job("a", n=3), expected=first)
    assert await backend.jobs.read(A) == Stored(id=A, job=make_job("a", n=2), revision=second)


async def test_a_write_elsewhere_changes_no_revision_here(backend: Backend) -> None:
    revision = await backend.jobs.write(make_job("a"), expected=0)
    await create(backend, "a.b", "b")
    assert await backend.jobs.write(make_job("a", n=2), expected=revision) > revision


async def test_of_many_contenders_one_wins(backend: Backend) -> None:
    revision = await backend.jobs.write(make_job("a"), expected=0)
    won: list[int] = []

    async def contend(n: int) -> None:
        try:
            await backend.jobs.write(make_job("a", n=n), expected=revision)
        except Conflict:
            return
        won.append(n)

    async with anyio.create_task_group() as contenders:
        for n in range(20):
            contenders.start_soon(contend, n)
    (winner,) = won
    assert (await backend.jobs.read(A)).job == make_job("a", n=winner)


async def test_a_deleted_key_is_missing_at_the_revision_of_its_marker(backend: Backend) -> None:
    revision = await backend.jobs.write(make_job("a"), expected=0)
    await backend.jobs.delete(A, expected=revision)
    stored = await backend.jobs.read(A)
    assert stored.job is None
    assert stored.revision > revision
    assert (await backend.jobs.read_many([A]))[A] == stored


async def test_a_deleted_key_is_created_again_at_the_revision_of_its_marker(backend: Backend) -> None:
    await backend.jobs.delete(A, expected=await backend.jobs.write(make_job("a"), expected=0))
    marker = (await backend.jobs.read(A)).revision
    with pytest.raises(Conflict):
        await backend.jobs.write(make_job("a"), expected=0)
    revision = await backend.jobs.write(make_job("a", n=2), expected=marker)
    assert await backend.jobs.read(A) == Stored(id=A, job=make_job("a", n=2), revision=revision)


async def test_a_delete_of_another_revision_than_the_last_is_a_conflict(backend: Backend) -> None:
    first = await backend.jobs.write(make_job("a"), expected=0)
    await backend.jobs.write(make_job("a", n=2), expected=first)
    with pytest.raises(Conflict):
        await backend.jobs.delete(A, expected=first)
    assert (await backend.jobs.read(A)).job == make_job("a", n=2)


async def test_a_document_with_a_ttl_goes_away_and_leaves_its_key_free(backend: Backend) -> None:
    revision = await backend.jobs.write(make_job("a"), expected=0, ttl=timedelta(seconds=1))
    assert isinstance((await backend.jobs.read(A)).job, Job)
    gone = await eventually(lambda: backend.jobs.read(A), lambda stored: stored.job is None)
    assert gone.revision == 0 or gone.revision > revision
    assert await scanned(backend) == []
    await backend.jobs.write(make_job("a", n=2), expected=gone.revision)
    assert (await backend.jobs.read(A)).job == make_job("a", n=2)


async def test_a_write_without_ttl_takes_the_ttl_away(backend: Backend) -> None:
    revision = await backend.jobs.write(make_job("a"), expected=0, ttl=timedelta(seconds=1))
    await backend.jobs.write(make_job("a", n=2), expected=revision)
    await backend.jobs.write(make_job("later"), expected=0, ttl=timedelta(seconds=1))
    await eventually(lambda: backend.jobs.read(JobId("later")), lambda stored: stored.job is None)
    assert (await backend.jobs.read(A)).job == make_job("a", n=2)


async def test_every_id_asked_for_is_in_the_answer(backend: Backend) -> None:
    revision = await backend.jobs.write(make_job("a"), expected=0)
    found = await backend.jobs.read_many([JobId("missing"), A])
    assert found == {
        "missing": Stored(id=JobId("missing"), job=None, revision=0),
        "a": Stored(id=A, job=make_job("a"), revision=revision),
    }
    assert await backend.jobs.read_many([]) == {}


async def test_more_ids_than_one_request_takes_are_read(backend: Backend) -> None:
    ids = [JobId(f"many.{number}") for number in range(2100)]
    written = ids[:1030] + ids[-3:]
    for first in range(0, len(written), 100):
        async with anyio.create_task_group() as writers:
            for job in written[first : first + 100]:
                writers.start_soon(create, backend, job)
    found = await backend.jobs.read_many(ids)
    assert list(found) == ids or set(found) == set(ids)
    assert {job for job, stored in found.items() if stored.job == make_job(job)} == set(written)


async def test_a_document_that_cannot_be_read_says_why(server: Server) -> None:
    await server.put_document("a", b'{"v": 99}')
    stored = await server.backend.jobs.read(A)
    assert isinstance(stored.job, Unreadable)
    assert "99" in stored.job.reason
    assert stored.revision > 0
    assert (await server.backend.jobs.read_many([A]))[A] == stored


async def test_a_scan_goes_through_all_documents_in_the_order_of_their_last_write(backend: Backend) -> None:
    await create(backend, "c", "a.b", "a", "b")
    stored = await backend.jobs.read(A)
    await backend.jobs.write(make_job("a", n=2), expected=stored.revision)
    assert await scanned(backend) == ["c", "a.b", "b", "a"]


async def test_a_scan_shows_what_a_read_shows(backend: Backend) -> None:
    await create(backend, "a", "b")
    shown = [stored async for chunk in backend.jobs.scan() for stored in chunk]
    assert shown == [await backend.jobs.read(A), await backend.jobs.read(JobId("b"))]


async def test_a_scan_leaves_out_what_was_deleted(backend: Backend) -> None:
    await create(backend, "a", "b")
    await backend.jobs.delete(A, expected=(await backend.jobs.read(A)).revision)
    assert await scanned(backend) == ["b"]


async def test_a_scan_of_nothing_is_empty(backend: Backend) -> None:
    assert await scanned(backend) == []
    await create(backend, "b")
    assert await scanned(backend, "a") == []


async def test_a_scan_by_prefix_goes_by_whole_tokens(backend: Backend) -> None:
    await create(backend, "a", "ab.c", "a.b", "ab", "a.b.c", "b.a")
    assert await scanned(backend, "a") == ["a", "a.b", "a.b.c"]
    assert await scanned(backend, "a.b") == ["a.b", "a.b.c"]


@pytest.mark.parametrize("chunk", [1, 3, 7, 256])
async def test_chunks_are_no_larger_than_asked_for_and_miss_nothing(backend: Backend, chunk: int) -> None:
    ids = [f"x.{number}" for number in range(7)]
    await create(backend, *ids)
    chunks = [[stored.id for stored in found] async for found in backend.jobs.scan("x", chunk=chunk)]
    assert [job for found in chunks for job in found] == ids
    assert all(1 <= len(found) <= chunk for found in chunks)


async def test_a_scan_shows_documents_that_cannot_be_read(server: Server) -> None:
    await create(server.backend, "a")
    await server.put_document("b", b"\xff not ours")
    await create(server.backend, "c")
    shown = [stored async for chunk in server.backend.jobs.scan() for stored in chunk]
    assert [(stored.id, type(stored.job)) for stored in shown] == [("a", Job), ("b", Unreadable), ("c", Job)]


async def test_a_document_that_changes_during_a_scan_is_not_missed(backend: Backend) -> None:
    await create(backend, "a", "b", "c", "d")
    seen: list[str] = []
    async for chunk in backend.jobs.scan(chunk=1):
        if not seen:
            stored = await backend.jobs.read(JobId("c"))
            await backend.jobs.write(make_job("c", n=2), expected=stored.revision)
        seen += [stored.id for stored in chunk]
    assert {"a", "b", "c", "d"} == set(seen)


async def test_a_document_that_is_deleted_before_a_scan_reaches_it_is_not_shown(backend: Backend) -> None:
    await create(backend, "a", "b", "c", "d")
    seen: list[str] = []
    async for chunk in backend.jobs.scan(chunk=1):
        if not seen:
            stored = await backend.jobs.read(JobId("c"))
            await backend.jobs.delete(stored.id, expected=stored.revision)
        seen += [stored.id for stored in chunk]
    assert seen == ["a", "b", "d"]


async def test_a_scan_goes_on_after_a_revision(backend: Backend) -> None:
    await create(backend, "d", "b", "a", "c")
    assert await scanned(backend, after=(await backend.jobs.read(JobId("b"))).revision) == ["a", "c"]


async def test_the_key_of_a_prefix_comes_in_its_place(backend: Backend) -> None:
    await create(backend, "b.x", "b.y", "b", "b.z", "c")
    assert await scanned(backend, "b") == ["b.x", "b.y", "b", "b.z"]
    assert await scanned(backend, "b", chunk=1) == ["b.x", "b.y", "b", "b.z"]
    own = (await backend.jobs.read(JobId("b"))).revision
    assert await scanned(backend, "b", after=own) == ["b.z"]


async def walked(backend: Backend, *, chunk: int = 128) -> list[list[Stored]]:
    async with backend.jobs.walk(chunk=chunk) as chunks:
        return [list(found) async for found in chunks]


@pytest.mark.parametrize("chunk", [1, 3, 7, 128])
async def test_a_walk_shows_all_documents_in_chunks(backend: Backend, chunk: int) -> None:
    await create(backend, "e", "d", "c.x", "b", "a")
    await backend.jobs.delete(JobId("b"), expected=(await backend.jobs.read(JobId("b"))).revision)
    chunks = await walked(backend, chunk=chunk)
    shown = [stored for found in chunks for stored in found]
    assert shown == [await backend.jobs.read(JobId(job)) for job in ("e", "d", "c.x", "a")]
    assert all(len(found) <= chunk for found in chunks)


async def test_a_walk_of_nothing_ends_at_once(backend: Backend) -> None:
    assert await walked(backend) == []


async def test_a_walk_shows_documents_that_cannot_be_read(server: Server) -> None:
    await create(server.backend, "a")
    await server.put_document("b", b"\xff not ours")
    ((a, b),) = await walked(server.backend)
    assert (type(a.job), type(b.job)) == (Job, Unreadable)


async def test_a_document_that_changes_during_a_walk_is_not_missed(backend: Backend) -> None:
    ids = [f"x.{number}" for number in range(20)]
    await create(backend, *ids)
    seen: list[str] = []
    async with backend.jobs.walk(chunk=2) as chunks:
        async for chunk in chunks:
            if not seen:
                stored = await backend.jobs.read(JobId("x.19"))
                await backend.jobs.write(make_job("x.19", n=2), expected=stored.revision)
            seen += [stored.id for stored in chunk]
    assert set(seen) == set(ids)


async def test_a_walk_can_be_left_before_its_end(backend: Backend) -> None:
    await create(backend, *(f"x.{number}" for number in range(20)))
    async with backend.jobs.walk(chunk=2) as chunks:
        first = await anext(chunks)
    assert [stored.id for stored in first] == ["x.0", "x.1"]
    assert len(await walked(backend)) == 1
