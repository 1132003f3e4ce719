"""Requests over core NATS, where the connection breaks."""

from pathlib import Path

import anyio
import pytest

from natsched.jetstream.api import call
from natsched.jetstream.backend import JetStreamBackend
from natsched.jetstream.connection import Connection, connect
from natsched.jetstream.messages import UNHEARD
from natsched.jetstream.naming import Names
from tests.servers import options_for, run_server

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 15


async def test_a_request_outlives_a_break_of_the_connection(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        async with (
            connect(options_for(server)) as asking,
            connect(options_for(server)) as working,
            JetStreamBackend(asking, Names()) as backend,
            backend.messages.request("work") as request,
        ):
            subscription = await working.nc.subscribe("work")
            await call(working, "INFO")  # behind the subscription, which nats-py's flush is not
            await request.send(b"", {})
            asked = await subscription.next_msg(DEADLINE)
            await anyio.to_thread.run_sync(server.restart)
            for connection in (asking, working):
                await _back(connection)
            await working.nc.publish(asked.reply, b"done")
            with anyio.fail_after(DEADLINE):
                assert (await request.receive()).data == b"done"


async def test_a_request_waits_for_the_connection(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        async with connect(options_for(server)) as asking, JetStreamBackend(asking, Names()) as backend:
            await server.stop_async()
            with anyio.fail_after(DEADLINE):
                while asking.is_connected:  # noqa: ASYNC110 - nothing sets an event
                    await anyio.sleep(0.01)
            async with backend.messages.request("work") as request, anyio.create_task_group() as tasks:
                tasks.start_soon(request.send, b"", {})
                await anyio.wait_all_tasks_blocked()
                assert asking.nc.pending_data_size == 0
                await server.start_async()
                with anyio.fail_after(DEADLINE):
                    assert (await request.receive()).kind == "nobody"


async def test_of_too_many_check_ins_the_newest_are_kept_and_the_answer_too(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        async with (
            connect(options_for(server)) as asking,
            JetStreamBackend(asking, Names()) as backend,
            backend.messages.request("work") as request,
        ):
            subscription = await asking.nc.subscribe("work")
            await request.send(b"", {})
            asked = await subscription.next_msg(DEADLINE)
            for number in range(UNHEARD + 10):
                asking.nc.post(request.check_ins, b"%d" % number)
            asking.nc.post(asked.reply, b"done")
            for _ in range(UNHEARD):
                asking.nc.post(request.check_ins, b"after the end")
            with anyio.fail_after(DEADLINE):
                await call(asking, "INFO")  # behind all of these, which nats-py's flush is not
                said = [await request.receive() for _ in range(UNHEARD)]
            assert (said[0].data, said[-1].data) == (b"11", b"done")


async def _back(connection: Connection) -> None:
    """Wait until the server has this connection's subscriptions again."""
    with anyio.fail_after(DEADLINE):
        while not connection.reconnects:  # noqa: ASYNC110 - nothing sets an event
            await anyio.sleep(0.02)
        await connection.wait_connected()
        await connection.nc.flush()
