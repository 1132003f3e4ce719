"""Publishes and their acknowledgements."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from natsched.errors import BackendError, Conflict, Unavailable
from natsched.jetstream.inbox import Inbox, Reply
from natsched.jetstream.publisher import EXPECTED, MESSAGE_ID, Publisher, sequence
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from tests.jetstream.opening import Opened, open_backend

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 15
KEY = "$KV.SCHEDULER_JOBS"
TIMEOUT = timedelta(seconds=0.5)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(ServerOptions(store=tmp_path)) as server:
        yield server


@pytest.fixture
async def opened(server: EmbeddedServer) -> AsyncIterator[Opened]:
    async with open_backend(server, request_timeout=TIMEOUT) as opened:
        yield opened


@pytest.fixture
async def publisher(opened: Opened) -> AsyncIterator[Publisher]:
    async with make_publisher(opened) as publisher:
        yield publisher


class make_publisher:  # noqa: N801 - used like a function
    """A publisher with an inbox of its own, so that its limits can be chosen."""

    def __init__(self, opened: Opened, *, timeout: float = TIMEOUT.total_seconds(), outstanding: int = 4096) -> None:
        self._inbox = Inbox(opened.connection.nc, timeout=timeout, outstanding=outstanding)
        self._publisher = Publisher(opened.connection.nc, self._inbox)
        self._connection = opened.connection

    async def __aenter__(self) -> Publisher:
        await self._inbox.open()
        self._forget = self._connection.on_disconnect(self._inbox.give_up)
        return self._publisher

    async def __aexit__(self, *_: object) -> None:
        self._forget()
        await self._inbox.close()


async def test_publishes_are_numbered_by_the_stream(publisher: Publisher) -> None:
    assert [await publisher.publish(f"{KEY}.{n}", b"x") for n in range(3)] == [1, 2, 3]


async def test_a_thousand_at_once_are_all_acknowledged(publisher: Publisher) -> None:
    sequences: set[int] = set()

    async def publish(number: int) -> None:
        sequences.add(await publisher.publish(f"{KEY}.{number}", b"x" * 1000))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(publish, number)
    assert sequences == set(range(1, 1001))


async def test_a_lost_compare_and_set_is_a_conflict(publisher: Publisher) -> None:
    first = await publisher.publish(f"{KEY}.a", b"1", {EXPECTED: "0"})
    for expected in ("0", str(first + 1)):
        with pytest.raises(Conflict):
            await publisher.publish(f"{KEY}.a", b"2", {EXPECTED: expected})
    assert await publisher.publish(f"{KEY}.a", b"2", {EXPECTED: str(first)}) == first + 1


async def test_a_duplicate_is_acknowledged_with_the_first_sequence(publisher: Publisher) -> None:
    subject = "scheduler.delivery.default.plan.a"
    first = await publisher.publish(subject, b"1", {MESSAGE_ID: "a"})
    assert await publisher.publish(subject, b"2", {MESSAGE_ID: "a"}) == first


async def test_a_subject_without_a_stream_is_unavailable_at_once(publisher: Publisher) -> None:
    with anyio.fail_after(TIMEOUT.total_seconds()), pytest.raises(Unavailable, match="No stream"):
        await publisher.publish("nobody.takes.this", b"x")


async def test_what_the_stream_refuses_is_an_error_with_its_reason(publisher: Publisher) -> None:
    with pytest.raises(BackendError, match="TTL") as caught:
        await publisher.publish(f"{KEY}.a", b"x", {"Nats-TTL": "never again"})
    assert not isinstance(caught.value, Conflict | Unavailable)


async def test_silence_is_unavailable_within_the_time_limit(publisher: Publisher, server: EmbeddedServer) -> None:
    server.pause()
    try:
        with anyio.fail_after(TIMEOUT.total_seconds() * 3), pytest.raises(Unavailable, match=r"0\.5 s"):
            await publisher.publish(f"{KEY}.a", b"x")
    finally:
        server.resume()


async def test_a_restart_ends_what_is_outstanding_and_publishing_goes_on(
    publisher: Publisher, server: EmbeddedServer
) -> None:
    server.pause()
    outcomes: list[object] = []

    async def publish(number: int) -> None:
        try:
            outcomes.append(await publisher.publish(f"{KEY}.{number}", b"x"))
        except Unavailable as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(publish, number)
        await anyio.wait_all_tasks_blocked()
        server.kill()
        await server.start_async()
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert len(outcomes) == 10
    with anyio.fail_after(DEADLINE):
        assert await until_published(publisher) >= 1


async def until_published(publisher: Publisher) -> int:
    while True:
        try:
            return await publisher.publish(f"{KEY}.again", b"x")
        except Unavailable:
            continue


async def test_no_more_are_outstanding_than_allowed_and_the_others_wait(opened: Opened) -> None:
    done: list[int] = []
    async with (
        make_publisher(opened, outstanding=3) as publisher,
        anyio.create_task_group() as tasks,
    ):

        async def publish(number: int) -> None:
            done.append(await publisher.publish(f"{KEY}.{number}", b"x"))

        opened.connection.nc.stats["out_msgs"] = 0
        for number in range(20):
            tasks.start_soon(publish, number)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert opened.connection.nc.stats["out_msgs"] <= 3
    assert sorted(done) == list(range(1, 21))


async def test_who_is_cancelled_in_line_lets_the_next_go_on(opened: Opened, server: EmbeddedServer) -> None:
    async with make_publisher(opened, outstanding=1, timeout=30) as publisher:
        server.pause()
        sequences: list[int] = []

        async def publish(number: int) -> None:
            sequences.append(await publisher.publish(f"{KEY}.{number}", b"x"))

        async with anyio.create_task_group() as first, anyio.create_task_group() as last:
            first.start_soon(publish, 0)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as cancelled:
                for number in range(1, 5):
                    cancelled.start_soon(publish, number)
                await anyio.wait_all_tasks_blocked()
                cancelled.cancel_scope.cancel()
            last.start_soon(publish, 9)
            await anyio.wait_all_tasks_blocked()
            server.resume()
        assert sequences == [1, 2]


@pytest.mark.parametrize(
    ("data", "seq"),
    [
        (b'{"stream":"S","seq":12}', 12),
        (b'{"stream":"S", "seq": 12}', 12),
        (b'{"stream":"S","domain":"hub","seq":12}', 12),
        (b'{"stream":"S","seq":12,"duplicate": true}', 12),
        (b'{"stream":"S","seq":12,"val":"7"}', 12),
        (b'{"seq":12,"stream":"S"}', 12),
        (b'{"stream":"S","seq":12,"batch":"x","count":3}', 12),
    ],
)
def test_every_form_of_a_puback_is_read(data: bytes, seq: int) -> None:
    assert sequence(Reply(data, b"")) == seq


@pytest.mark.parametrize("err_code", [10071, 10164])
def test_both_codes_of_a_lost_compare_and_set_are_conflicts(err_code: int) -> None:
    data = (
        b'{"error":{"code":400,"err_code":%d,"description":"wrong last sequence: 1"},"stream":"S","seq":0}' % err_code
    )
    with pytest.raises(Conflict):
        sequence(Reply(data, b""))


@pytest.mark.parametrize("data", [b"", b"x", b"[]", b"{}", b'{"seq":"x"}', b'{"error":1}', b"null", b'"seq":'])
def test_what_is_no_puback_is_an_error(data: bytes) -> None:
    with pytest.raises(BackendError, match="PubAck"):
        sequence(Reply(data, b""))
