"""The short way through what the server sends, held against nats-py's parser."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from natsched.jetstream.frames import LONGEST, FrameParser, Sink

pytestmark = pytest.mark.anyio

TAKEN, LEFT = 1, 2
Heard = tuple[object, ...]


class Client:
    """What a parser tells its client, in order."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def sink(self, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self.heard.append((TAKEN, subject, reply, data, headers))

    def hand(self, sink: Sink, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        sink(subject, reply, data, headers)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.heard.append((sid, subject, reply, data, headers or b""))

    async def _process_ping(self) -> None:
        self.heard.append(("ping",))

    async def _process_pong(self) -> None:
        self.heard.append(("pong",))

    async def _process_err(self, error: str) -> None:
        self.heard.append((error,))


def frame(sid: int, reply: bytes, data: bytes, headers: bytes) -> bytes:
    to = b" ".join(filter(None, (b"a.subject", b"%d" % sid, reply)))
    if headers:
        return b"HMSG %b %d %d\r\n%b%b\r\n" % (to, len(headers), len(headers) + len(data), headers, data)
    return b"MSG %b %d\r\n%b\r\n" % (to, len(data), data)


messages = st.builds(
    frame,
    st.sampled_from([TAKEN, TAKEN, TAKEN, LEFT]),
    st.sampled_from([b"", b"reply.to"]),
    st.sampled_from([b"", b"data", b"\r\n", b"MSG a 1 1\r\nx\r\n", b"PING\r\n", bytes(200)]),
    st.sampled_from([b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n"]),
)
others = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'slow'\r\n"])


async def told(parser: type[Parser] | type[FrameParser], parts: list[bytes]) -> list[Heard]:
    client = Client()
    made = FrameParser(client, {TAKEN: client.sink}) if issubclass(parser, FrameParser) else parser(client)
    for part in parts:
        await made.parse(part)
    return client.heard


@given(st.lists(messages | others, max_size=8).map(b"".join), st.lists(st.integers(0, 1000), max_size=6))
async def test_however_it_is_cut_it_reads_what_nats_py_reads(sent: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    parts = [sent[start:end] for start, end in pairwise(edges)]
    assert await told(FrameParser, parts) == await told(Parser, parts)


async def test_a_long_message_is_left_to_nats_py_and_what_follows_is_taken() -> None:
    sent = frame(TAKEN, b"", bytes(3 * LONGEST), b"") + 2 * frame(TAKEN, b"", b"next", b"")
    parts = [sent[at : at + LONGEST // 2] for at in range(0, len(sent), LONGEST // 2)]
    assert await told(FrameParser, parts) == await told(Parser, parts)


@pytest.mark.parametrize("line", [b"MSG a x 1", b"MSG a 1 y", b"HMSG a 1 z 1", b"MSG"])
async def test_what_is_no_frame_is_refused_as_nats_py_does(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await told(FrameParser, [line + b"\r\nx\r\n"])
