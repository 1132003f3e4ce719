"""The short way in and out of nats-py's client, held against nats-py's own way."""

from collections.abc import AsyncIterator, Iterator

import anyio
import nats.errors
import pytest

from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from natsched.jetstream.wire import description_of, header, headers_of, status_of

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions(store=tmp_path_factory.mktemp("nats"))) as server:
        yield server


@pytest.fixture
async def connection(server: EmbeddedServer) -> AsyncIterator[Connection]:
    async with connect(ConnectionOptions(servers=(server.url,))) as connection:
        yield connection


class Heard:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes, bytes, bytes]] = []
        self._more = anyio.Event()

    def __call__(self, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self.messages.append((subject, reply, data, headers))
        self._more.set()

    async def until(self, number: int) -> list[tuple[bytes, bytes, bytes, bytes]]:
        with anyio.fail_after(DEADLINE):
            while len(self.messages) < number:
                self._more = anyio.Event()
                await self._more.wait()
        return self.messages


@pytest.mark.parametrize("headers", [None, {}, {"One": "1"}, {"One": "1", "Two-Words": "é  x"}])
@pytest.mark.parametrize("reply", ["", "to.me"])
@pytest.mark.parametrize("payload", [b"", b"\r\nPUB x 0\r\n\x00\xff", b"x" * 100_000])
async def test_what_is_posted_arrives_as_what_is_published(
    connection: Connection, payload: bytes, reply: str, headers: dict[str, str] | None
) -> None:
    heard = Heard()
    await connection.nc.listen("s.*", heard)
    connection.nc.post("s.1", payload, reply, headers)
    await connection.nc.publish("s.1", payload, reply, headers or None)
    posted, published = await heard.until(2)
    assert posted == published
    assert posted[:3] == (b"s.1", reply.encode(), payload)


async def test_both_ways_keep_their_order(connection: Connection) -> None:
    heard = Heard()
    await connection.nc.listen("s", heard)
    for number in range(100):
        connection.nc.post("s", b"%d" % number)
        await connection.nc.publish("s", b"%d" % number)
    assert [data for _, _, data, _ in await heard.until(200)] == [b"%d" % (n // 2) for n in range(200)]


async def test_a_subscription_of_nats_py_is_served_by_nats_py(connection: Connection) -> None:
    subscription = await connection.nc.subscribe("s")
    connection.nc.post("s", b"x", headers={"A": "b"})
    message = await subscription.next_msg(DEADLINE)
    assert (message.data, message.headers) == (b"x", {"A": "b"})


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0\r\n", "a\tb", "a\nb"])
async def test_a_subject_cannot_bring_a_command_along(connection: Connection, subject: str) -> None:
    with pytest.raises(nats.errors.BadSubjectError):
        connection.nc.post(subject, b"")


@pytest.mark.parametrize("headers", [{"A": "b\r\nC: d"}, {"A": "b\nC"}, {"A\r\nB": "c"}, {"A": "b\r"}])
async def test_a_header_cannot_bring_another_along(connection: Connection, headers: dict[str, str]) -> None:
    with pytest.raises(nats.errors.BadHeaderError):
        connection.nc.post("s", b"", headers=headers)


async def test_more_than_the_server_takes_is_refused_here(connection: Connection) -> None:
    with pytest.raises(nats.errors.MaxPayloadError):
        connection.nc.post("s", b"x" * (connection.nc.max_payload + 1))


async def test_a_sink_that_fails_does_not_end_the_reading(connection: Connection) -> None:
    heard = Heard()

    def failing(subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        raise ValueError

    await connection.nc.listen("bad", failing)
    await connection.nc.listen("good", heard)
    connection.nc.post("bad", b"")
    connection.nc.post("good", b"")
    await heard.until(1)


async def test_nothing_comes_after_unlisten(connection: Connection) -> None:
    gone, heard = Heard(), Heard()
    subscription = await connection.nc.listen("s", gone)
    await connection.nc.listen("s", heard)
    await connection.nc.unlisten(subscription)
    connection.nc.post("s", b"")
    await heard.until(1)
    assert not gone.messages


async def test_what_is_posted_in_an_outage_arrives_after_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    options = ServerOptions(store=tmp_path_factory.mktemp("nats"))
    with EmbeddedServer(options) as server:
        async with connect(ConnectionOptions(servers=(server.url,))) as connection:
            heard = Heard()
            await connection.nc.listen("s", heard)
            lost = anyio.Event()
            connection.on_disconnect(lost.set)
            await server.stop_async()
            with anyio.fail_after(DEADLINE):
                await lost.wait()
            connection.nc.post("s", b"kept")
            await server.start_async()
            assert [data for _, _, data, _ in await heard.until(1)] == [b"kept"]


def _post_too_much(connection: Connection) -> None:
    for _ in range(100):
        connection.nc.post("s", b"x" * 1_000_000)


async def test_what_cannot_be_kept_in_an_outage_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    options = ServerOptions(store=tmp_path_factory.mktemp("nats"))
    with EmbeddedServer(options) as server:
        async with connect(ConnectionOptions(servers=(server.url,))) as connection:
            lost = anyio.Event()
            connection.on_disconnect(lost.set)
            await server.stop_async()
            with anyio.fail_after(DEADLINE):
                await lost.wait()
            with pytest.raises(nats.errors.OutboundBufferLimitError):
                _post_too_much(connection)


@pytest.mark.parametrize(
    ("block", "status", "description", "value"),
    [
        (b"", b"", "", None),
        (b"NATS/1.0\r\nA: b\r\n\r\n", b"", "", "b"),
        (b"NATS/1.0\r\nA: b\r\nA:c \r\nAB: d\r\n\r\n", b"", "", "c"),
        (b"NATS/1.0 503\r\n\r\n", b"503", "", None),
        (b"NATS/1.0 204 EOB\r\nA: 0\r\n\r\n", b"204", "EOB", "0"),
        (b"NATS/1.0 408 Request Timeout\r\nNats-A: 7\r\n\r\n", b"408", "Request Timeout", None),
    ],
)
def test_headers_are_read(block: bytes, status: bytes, description: str, value: str | None) -> None:
    assert (status_of(block), header(block, b"A")) == (status, value)
    assert not status or description_of(block) == description


def test_all_headers_are_read_by_name_in_lower_case() -> None:
    block = "NATS/1.0\r\nOne:1\r\nTwo-Words:  é: x \r\nEmpty:\r\none: 2\r\n\r\n".encode()
    assert headers_of(block) == {"one": "2", "two-words": "é: x", "empty": ""}
    assert headers_of(b"NATS/1.0 503\r\n\r\n") == headers_of(b"") == {}
