"""Memory and JetStream answer alike, whatever is done: on the newest server, the oldest, and a coming default."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import anyio
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from natsched.jetstream.server import EmbeddedServer
from natsched.memory import MemoryBackend
from tests.conformance.asked import drawing
from tests.conformance.deliveries import LAST_DELIVERIES, deliveries, outbox
from tests.conformance.documents import LAST_DOCUMENTS, documents
from tests.conformance.hints import LAST_HINTS, Schedule, delivered, overdue, schedules
from tests.conformance.keys import LAST_KEYS, keys
from tests.conformance.messages import FIRST_MESSAGES, messages
from tests.conformance.records import LAST_RECORDS, records
from tests.conformance.resting import Rest
from tests.conformance.world import HOUR, MOMENT, PATIENCE, Answer, Operation, TooSlowError, mixed, play, sequences
from tests.contract.conftest import open_jetstream
from tests.contract.servers import MemoryServer
from tests.servers import ACK_FORMAT_2, OLDEST, is_server_given, run_server, server_binary
from tests.virtual import VirtualClock, run_virtual

pytestmark = pytest.mark.nats

FASTER_THAN: Final = 0.8
"""What part of the time after which something comes by itself a play may take up to a rest."""

TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Running:
    """A server, and which share of the examples it is given in plain pytest."""

    server: EmbeddedServer
    share: float


@dataclass(frozen=True, slots=True)
class Kind:
    """What is drawn together, and how much of it: what depends on more steps takes more examples."""

    operations: st.SearchStrategy[Operation]
    first: Sequence[Operation] = ()
    last: Sequence[Operation] = ()
    share: float = 1


ANSWERED: Final = mixed((3, delivered()), (4, deliveries()), (1, outbox()))
KINDS: Final[Mapping[str, Kind]] = {
    "jobs": Kind(documents(), last=LAST_DOCUMENTS),
    "schedules": Kind(schedules(), last=LAST_HINTS),
    "deliveries": Kind(ANSWERED, last=(*LAST_HINTS, *LAST_DELIVERIES), share=2),
    "history": Kind(records(), last=LAST_RECORDS),
    "locks": Kind(keys(), last=LAST_KEYS),
    "messages": Kind(messages(), first=FIRST_MESSAGES, share=0.5),
}
SERVERS: Final = (
    pytest.param(("", "", 1.0), id="installed"),
    pytest.param((OLDEST, "", 0.2), id=OLDEST),
    pytest.param(("", ACK_FORMAT_2, 0.2), id="installed with js_ack_fc_v2"),
)


@pytest.fixture(scope="module", params=SERVERS[:1] if is_server_given() else SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    version, config, share = request.param
    binary = server_binary(version) if version else None
    with run_server(tmp_path_factory.mktemp("conformance"), binary, extra=config) as server:
        yield Running(server, share)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_done_is_answered_alike(running: Running, kind: str) -> None:
    drawn = KINDS[kind]

    @drawing(running.share * drawn.share)
    @given(sequences(drawn.operations))
    def alike(operations: list[Operation]) -> None:
        compare(running.server, [*drawn.first, *operations, *drawn.last], ack_wait=HOUR)

    alike()


def test_after_a_rest_the_same_has_come_by_itself(running: Running) -> None:
    """What is fast enough to be done before anything comes by itself, a rest, and something more."""
    ends = (documents(ends=True), schedules(ends=True), records(ends=True), keys(ends=True))
    before = mixed((4, st.one_of(ends)), (1, delivered()), (2, deliveries(ends=True)), (1, outbox()))
    after = st.one_of(documents(), schedules(), delivered(), deliveries(), records(), keys())
    last = (*LAST_DOCUMENTS, *LAST_HINTS, *LAST_DELIVERIES, *LAST_RECORDS[:-1], *LAST_KEYS[:-1])

    @drawing(running.share, rests=True)
    @given(sequences(before, 60), overdue(), sequences(after, 15))
    def alike(busy: list[Operation], late: list[Schedule], again: list[Operation]) -> None:
        assume(busy or late)
        compare(running.server, [*busy, *late, Rest(), *again, *last], ack_wait=MOMENT)

    alike()


def compare(server: EmbeddedServer, operations: Sequence[Operation], *, ack_wait: timedelta) -> None:
    """Play the operations on both; raise `Difference` at the first different answer."""

    async def in_memory() -> list[Answer]:
        async with MemoryBackend(VirtualClock(), ack_wait=ack_wait) as backend:
            return await play(MemoryServer(backend), operations)

    async def on_jetstream() -> None:
        patience = timedelta(seconds=PATIENCE)
        async with open_jetstream(server, ack_wait=ack_wait, request_timeout=patience) as opened:
            limit = FASTER_THAN * ack_wait.total_seconds()
            await play(opened, operations, wanted, limit=limit)

    wanted = run_virtual(in_memory)
    for _ in range(TRIES):
        try:
            return anyio.run(on_jetstream)
        except TooSlowError:  # another try; where the machine is too busy for all of them nothing is said
            event("too slow")
    return None
