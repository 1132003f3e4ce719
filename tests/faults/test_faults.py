"""A short trial on one server, in which all promises are kept; and what the harness's own parts do."""

from datetime import timedelta
from pathlib import Path
from random import Random

import anyio
import pytest
from anyio.abc import SocketStream

from tests.faults.link import Link
from tests.faults.report import report, sequence
from tests.faults.trial import Options, trial
from tests.faults.troubles import Kind, draw

pytestmark = pytest.mark.anyio

OVERLOADED = timedelta(seconds=0.2)
"""For how long this process, which does little, does not get to run where others take all there is."""

SHORT = (Kind.KILL, Kind.FREEZE, Kind.SERVER_KILL, Kind.CUT)


@pytest.mark.nats
@pytest.mark.timeout(300)
async def test_replicas_and_a_server_that_are_killed_frozen_and_cut_off_break_no_promise(tmp_path: Path) -> None:
    options = Options(seed=3, seconds=10, jobs=60, kinds=SHORT, calm=1)
    outcome = await trial(options, tmp_path / "site")
    if outcome.notes.held_up > OVERLOADED:  # it shows what the machine does, not what natsched does
        outcome = await trial(options, tmp_path / "again")
    print(report(outcome), sequence(outcome), sep="\n")
    assert outcome.is_good, report(outcome)
    assert len(outcome.history.starts) > 100


def test_a_seed_is_a_sequence_and_each_kind_is_in_it() -> None:
    one, same, other = (draw(Random(seed), tuple(Kind), seconds=400, calm=5) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert {trouble.kind for trouble in one} == set(Kind)


async def test_a_link_holds_what_is_sent_while_it_is_cut_and_lets_it_through_when_it_is_mended() -> None:
    async def echo(stream: SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, Link(lambda: port).opened() as link, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo)
        async with await anyio.connect_tcp("127.0.0.1", link.port) as stream:
            await stream.send(b"one")
            assert await stream.receive() == b"one"
            for way in (link.up, link.down):
                way.cut()
                await stream.send(b"two")
                with anyio.move_on_after(0.1) as waiting:
                    await stream.receive()
                assert waiting.cancelled_caught
                way.mend()
                assert await stream.receive() == b"two"
            link.reset()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        tasks.cancel_scope.cancel()
