"""Reads of what is stored."""

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from natsched.errors import BackendError, Unavailable
from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.inbox import Inbox
from natsched.jetstream.publisher import Publisher
from natsched.jetstream.requests import Message, Requests
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from natsched.jetstream.translate import NotFound

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
MANY = 2500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions(store=tmp_path_factory.mktemp("nats"))) as server:
        yield server


@pytest.fixture
async def connection(server: EmbeddedServer) -> AsyncIterator[Connection]:
    async with connect(ConnectionOptions(servers=(server.url,))) as connection:
        yield connection


@pytest.fixture
async def inbox(connection: Connection) -> AsyncIterator[Inbox]:
    inbox = Inbox(connection.nc, timeout=30)
    await inbox.open()
    yield inbox
    await inbox.close()


@pytest.fixture
async def requests(inbox: Inbox) -> AsyncIterator[Requests]:
    """Requests to a server with one stream, `S`, of one message each for `s.>`."""
    requests = Requests(inbox)
    config = {"name": "S", "subjects": ["s.>"], "allow_direct": True, "max_msgs_per_subject": 1}
    await requests.call("STREAM.CREATE.S", config)
    yield requests
    await requests.call("STREAM.DELETE.S")


@pytest.fixture
def publisher(connection: Connection, inbox: Inbox) -> Publisher:
    return Publisher(connection.nc, inbox)


async def fill(publisher: Publisher, number: int, *, size: int = 10) -> None:
    async with anyio.create_task_group() as tasks:
        for n in range(number):
            tasks.start_soon(publisher.publish, f"s.{n}", b"%d" % n + b" " * size)


async def walked(requests: Requests, subject: str = ">", *, chunk: int = 100) -> list[Message]:
    return [message async for part in requests.walk("S", subject, chunk=chunk) for message in part]


async def test_a_leader_read_shows_what_was_just_acknowledged(requests: Requests, publisher: Publisher) -> None:
    for number in range(50):
        seq = await publisher.publish("s.a", b"%d" % number, {"Own": "x"})
        read = await requests.last("S", "s.a")
        assert read is not None
        assert (read.subject, read.seq, read.data) == ("s.a", seq, b"%d" % number)
        assert b"\r\nOwn: x\r\n" in read.headers


async def test_an_empty_subject_reads_as_none_and_a_missing_stream_does_not(requests: Requests) -> None:
    assert await requests.last("S", "s.a") is None
    with pytest.raises(NotFound):
        await requests.last("MISSING", "s.a")
    with pytest.raises(Unavailable):
        await requests.last_of("MISSING", ["s.a"])


async def test_more_subjects_than_one_answer_takes_are_read(requests: Requests, publisher: Publisher) -> None:
    await fill(publisher, MANY)
    wanted = [f"s.{n}" for n in range(MANY + 100)]
    found = await requests.last_of("S", wanted)
    assert {message.subject: message.data.strip() for message in found} == {f"s.{n}": b"%d" % n for n in range(MANY)}
    assert await requests.last_of("S", []) == []
    assert await requests.last_of("S", ["s.none"]) == []


async def test_more_bytes_than_one_answer_takes_are_read(requests: Requests, publisher: Publisher) -> None:
    await fill(publisher, 100, size=900_000)  # 90 MB: the server sends 64 MiB at a time
    found = await requests.last_of("S", [f"s.{n}" for n in range(110)])
    assert {message.subject for message in found} == {f"s.{n}" for n in range(100)}
    assert len(found) == 100


async def test_values_and_headers_of_any_kind_are_read_as_they_are(requests: Requests, publisher: Publisher) -> None:
    body = b"NATS/1.0 503\r\nNats-Subject: other\r\nNats-Sequence: 99\r\n\r\n\x00\xff"
    seq = await publisher.publish("s.a", body, {"Nats-Subject": "forged", "Nats-Sequence": "99"})
    (message,) = await requests.last_of("S", ["s.a"])
    assert (message.subject, message.seq, message.data) == ("s.a", seq, body)
    assert await walked(requests) == [message]


@pytest.mark.parametrize(
    ("headers", "marker"),
    [
        ({"KV-Operation": "DEL"}, True),
        ({"KV-Operation": "PURGE"}, True),
        ({"KV-Operation": "PUT"}, False),
        ({"Nats-Marker-Reason-Not": "x"}, False),
        (None, False),
    ],
)
async def test_markers_are_told_from_values(
    requests: Requests, publisher: Publisher, headers: dict[str, str] | None, marker: bool
) -> None:
    await publisher.publish("s.a", b"", headers)
    last = await requests.last("S", "s.a")
    (direct,) = await requests.last_of("S", ["s.a"])
    assert last is not None
    assert last.is_marker is direct.is_marker is marker


@pytest.mark.parametrize("chunk", [1, 7, 100, 5000])
async def test_a_walk_shows_each_message_in_the_order_of_the_stream(
    requests: Requests, publisher: Publisher, chunk: int
) -> None:
    await fill(publisher, 100)
    await publisher.publish("s.x.y", b"")
    messages = await walked(requests, chunk=chunk)
    assert [message.seq for message in messages] == list(range(1, 102))
    assert [message.subject for message in await walked(requests, "s.x.>", chunk=chunk)] == ["s.x.y"]
    assert await walked(requests, "s.none") == []


async def test_what_is_rewritten_during_a_walk_comes_at_its_end(requests: Requests, publisher: Publisher) -> None:
    await fill(publisher, 20)
    seen = []
    async for part in requests.walk("S", ">", chunk=5):
        seen += [message.subject for message in part]
        if len(seen) == 5:
            await publisher.publish("s.19", b"rewritten")
    assert set(seen) == {f"s.{n}" for n in range(20)}


async def test_a_walk_ends_though_writers_go_on(requests: Requests, publisher: Publisher) -> None:
    await fill(publisher, 20)
    seen = 0
    with anyio.fail_after(15):
        async for part in requests.walk("S", ">", chunk=1):
            seen += len(part)
            for _ in range(2):
                await publisher.publish(f"s.{seen % 20}", b"again")
    assert seen >= 20


async def test_messages_are_counted_from_a_sequence_on(requests: Requests, publisher: Publisher) -> None:
    await fill(publisher, 20)
    assert [await requests.count("S", ">", seq) for seq in (1, 11, 20, 21, 99)] == [20, 10, 1, 0, 0]
    assert await requests.count("S", "s.none", 1) == 0


async def test_an_error_of_the_api_says_what_it_was(requests: Requests) -> None:
    with pytest.raises(BackendError, match="bad request"):
        await requests.call("STREAM.MSG.GET.S", {})
