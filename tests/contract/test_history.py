"""`ports.History`: records of executions."""

from datetime import timedelta

import anyio
import pytest

from natsched.core.executions import ExecutionStatus, Record
from natsched.ports import Backend
from tests.contract.servers import Server
from tests.contract.waiting import eventually, take
from tests.factories import NOON, make_record

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


async def create(backend: Backend, *records: Record) -> None:
    for record in records:
        assert await backend.history.create(record, ttl=DAY)


async def test_a_record_is_read_as_it_was_created(backend: Backend) -> None:
    record = make_record(
        "a.b",
        "A-1",
        2,
        status=ExecutionStatus.FAILED,
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=1.5),
        error="ValueError: é",
        metadata={"x": [1]},
    )
    await create(backend, record)
    assert await backend.history.get("a.b", "A-1", 2) == record


async def test_a_record_is_created_once(backend: Backend) -> None:
    first = make_record("a", "A-1", 1)
    await create(backend, first)
    again = make_record("a", "A-1", 1, status=ExecutionStatus.FAILED)
    assert not await backend.history.create(again, ttl=DAY)
    assert await backend.history.get("a", "A-1", 1) == first
    assert await backend.history.list() == [first]


async def test_records_of_a_gap_that_grew_are_kept_beside_each_other(backend: Backend) -> None:
    def left_out(number: int) -> Record:
        last = NOON + timedelta(seconds=number)
        return make_record("a", "A-1", 0, first=NOON, last=last, number=number)

    await create(backend, left_out(2), left_out(3), make_record("a", "A-1", 1))
    assert not await backend.history.create(left_out(3), ttl=DAY)
    assert await backend.history.list("a", "A-1") == [make_record("a", "A-1", 1), left_out(3), left_out(2)]
    assert await backend.history.get("a", "A-1", 1) == make_record("a", "A-1", 1)


async def test_a_walk_gives_all_records_in_the_order_of_their_ends(backend: Backend) -> None:
    records = [make_record(job, f"{job}-{n}", 1) for n in range(3) for job in ("a", "b.c")]
    await create(backend, *records)
    chunks = [chunk async for chunk in backend.history.walk(chunk=4)]
    assert [len(chunk) for chunk in chunks] == [4, 2]
    assert [record for chunk in chunks for record in chunk] == records


async def test_a_record_that_is_not_there_reads_as_none(backend: Backend) -> None:
    await create(backend, make_record("a", "A-1", 1))
    for job, execution, attempt in (("a", "A-1", 2), ("a", "A-2", 1), ("b", "A-1", 1), ("a.A-1", "1", 1)):
        assert await backend.history.get(job, execution, attempt) is None


async def test_a_record_goes_away_after_its_ttl(backend: Backend) -> None:
    kept = make_record("a", "A-2")
    await backend.history.create(make_record("a", "A-1"), ttl=timedelta(seconds=1))
    await create(backend, kept)
    await eventually(lambda: backend.history.get("a", "A-1", 1), lambda record: record is None)
    assert await backend.history.list() == [kept]


async def test_the_newest_records_are_listed_first_and_no_more_than_asked_for(backend: Backend) -> None:
    records = [make_record("a", f"A-{n}") for n in range(8)]
    await create(backend, *records)
    assert await backend.history.list() == records[::-1]
    assert await backend.history.list(limit=3) == records[:4:-1]
    assert await backend.history.list(limit=8) == records[::-1]


async def test_records_are_listed_by_job(backend: Backend) -> None:
    records = [make_record(job, f"X-{n}") for n in range(2) for job in ("a", "a.b", "ab", "b.a")]
    await create(backend, *records)
    for job in ("a", "a.b", "ab", "b.a"):
        wanted = [record for record in records if record.job == job]
        assert await backend.history.list(job) == wanted[::-1]
    assert await backend.history.list("missing") == []


async def test_the_newest_of_one_job_are_found_behind_many_of_another(backend: Backend) -> None:
    records = [make_record("a", f"A-{n}") for n in range(5)]
    await create(backend, *records)
    async with anyio.create_task_group() as writers:
        for n in range(300):
            writers.start_soon(create, backend, make_record("b", f"B-{n}"))
    assert await backend.history.list("a", limit=2) == records[:2:-1]


async def test_records_are_listed_by_execution(backend: Backend) -> None:
    first, second = make_record("a.b", "A-1", 1), make_record("a.b", "A-1", 2)
    await create(backend, first, make_record("a.b", "A-2"), second, make_record("c", "C-1"))
    assert await backend.history.list("a.b", "A-1") == [second, first]
    assert await backend.history.list(execution="A-1") == [second, first]
    assert await backend.history.list("c", "A-1") == []


async def test_records_are_followed_from_the_moment_of_entering(backend: Backend) -> None:
    await create(backend, make_record("a", "A-1"))
    later = [make_record("a", "A-2"), make_record("a.b", "B-1")]
    async with backend.history.follow() as records:
        await create(backend, *later)
        assert await take(records, 2) == later


async def test_records_of_one_job_or_execution_are_followed(backend: Backend) -> None:
    wanted = [make_record("a", "A-1", 1), make_record("a", "A-1", 2)]
    other = [make_record("a.b", "A-1"), make_record("a", "A-2")]
    async with (
        backend.history.follow("a") as of_job,
        backend.history.follow("a", "A-1") as of_execution,
        backend.history.follow(execution="A-1") as of_any_job,
    ):
        await create(backend, wanted[0], *other, wanted[1])
        assert await take(of_job, 3) == [wanted[0], other[1], wanted[1]]
        assert await take(of_execution, 2) == wanted
        assert await take(of_any_job, 3) == [wanted[0], other[0], wanted[1]]


async def test_a_record_that_cannot_be_read_does_not_hide_the_others(server: Server) -> None:
    backend = server.backend
    first, second = make_record("a", "A-1"), make_record("a", "A-3")
    async with backend.history.follow("a") as records:
        await create(backend, first)
        await server.put_record("a.A-2.1", b'{"v": 99}')
        await create(backend, second)
        assert await take(records, 2) == [first, second]
    assert await backend.history.list("a") == [second, first]
    assert await backend.history.get("a", "A-2", 1) is None


async def test_what_cannot_be_read_takes_no_place_among_the_newest(server: Server) -> None:
    backend = server.backend
    records = [make_record("a", f"A-{n}") for n in range(3)]
    await create(backend, *records)
    for n in range(5):
        await server.put_record(f"a.A-x{n}.1", b"not ours")
    assert await backend.history.list(limit=2) == records[:0:-1]
    assert await backend.history.list("a", limit=3) == records[::-1]


async def test_a_purged_record_is_gone(server: Server) -> None:
    backend = server.backend
    kept, purged = make_record("a", "A-1"), make_record("a", "A-2")
    await create(backend, kept, purged)
    await server.purge("executions", "a.A-2.1")
    assert await backend.history.get("a", "A-2", 1) is None
    assert await backend.history.list("a", limit=1) == [kept]
