"""`ports.Messages`: requests with what is said on the way, messages to whoever listens, and to streams of others."""

import anyio
import pytest

from natsched.errors import Unavailable
from natsched.ports import Backend, Kept, Request, Said
from tests.contract.servers import Hear, Server
from tests.contract.waiting import DEADLINE

pytestmark = pytest.mark.anyio


async def heard_by(hear: Hear) -> str:
    with anyio.fail_after(DEADLINE):
        return (await hear()).data.decode()


async def said_to(request: Request) -> Said:
    with anyio.fail_after(DEADLINE):
        return await request.receive()


async def test_a_request_is_heard_as_it_was_sent_and_answered(server: Server) -> None:
    async with server.listening("work.one") as hear, server.backend.messages.request("work.one") as request:
        await request.send("täglich".encode(), {"Natsched-Version": "1", "Own": "a: b"})
        heard = await hear()
        assert (heard.subject, heard.data.decode()) == ("work.one", "täglich")
        assert heard.headers == {"natsched-version": "1", "own": "a: b"}
        await server.say(heard.reply, b"\x00done", {"Natsched-Error": "no: paper", "X": ""})
        headers = {"natsched-error": "no: paper", "x": ""}
        assert await said_to(request) == Said(kind="answer", data=b"\x00done", headers=headers)


async def test_check_ins_come_in_order_before_the_answer(server: Server) -> None:
    async with server.listening("work.one") as hear, server.backend.messages.request("work.one") as request:
        await request.send(b"", {})
        heard = await hear()
        for number in range(3):
            await server.say(request.check_ins, b"%d" % number)
        await server.say(heard.reply, b"")
        said = [await said_to(request) for _ in range(4)]
        assert [(one.kind, one.data) for one in said] == [
            ("check-in", b"0"),
            ("check-in", b"1"),
            ("check-in", b"2"),
            ("answer", b""),
        ]


async def test_where_nobody_listens_that_is_said_at_once(backend: Backend) -> None:
    async with backend.messages.request("work.nobody") as request:
        await request.send(b"", {})
        assert await said_to(request) == Said(kind="nobody")


async def test_who_listens_no_more_is_nobody(server: Server) -> None:
    async with server.listening("work.one"):
        pass
    async with server.backend.messages.request("work.one") as request:
        await request.send(b"", {})
        assert (await said_to(request)).kind == "nobody"


async def test_requests_at_once_each_get_their_own_answer(server: Server) -> None:
    messages = server.backend.messages
    async with server.listening("work.*") as hear, messages.request("work.a") as a, messages.request("work.b") as b:
        await a.send(b"a", {})
        await b.send(b"b", {})
        first, second = await hear(), await hear()
        await server.say(second.reply, second.data)
        await server.say(a.check_ins, b"on the way")
        await server.say(first.reply, first.data)
        assert (await said_to(b)).data == b"b"
        assert [(await said_to(a)).data for _ in range(2)] == [b"on the way", b"a"]


async def test_what_is_said_after_the_end_of_a_request_is_ignored(server: Server) -> None:
    messages = server.backend.messages
    async with server.listening("work.one") as hear:
        async with messages.request("work.one") as ended:
            await ended.send(b"1", {})
            late = await hear()
        await server.say(late.reply, b"late")
        await server.say(ended.check_ins, b"late")
        async with messages.request("work.one") as request:
            await request.send(b"2", {})
            await server.say((await hear()).reply, b"in time")
            assert (await said_to(request)).data == b"in time"
        with anyio.move_on_after(0):
            pytest.fail(f"it heard {await ended.receive()}")


async def test_of_those_who_listen_as_a_group_one_gets_a_request(server: Server) -> None:
    messages = server.backend.messages
    async with server.listening("work.one", "q") as one, server.listening("work.one", "q") as two:
        for number in range(20):
            messages.publish("work.one", b"%d" % number)
        got: list[str] = []

        async def listen(hear: Hear) -> None:
            while True:
                got.append(await heard_by(hear))
                if len(got) == 20:
                    listeners.cancel_scope.cancel()

        async with anyio.create_task_group() as listeners:
            listeners.start_soon(listen, one)
            listeners.start_soon(listen, two)
        assert sorted(got, key=int) == [str(number) for number in range(20)]


async def test_a_message_reaches_all_who_listen_on_its_subject(server: Server) -> None:
    async with server.listening("stop.>") as one, server.listening("stop.*.1") as two, server.listening("stop") as no:
        server.backend.messages.publish("stop.a.1", b"now", {"Why": "shutdown"})
        server.backend.messages.publish("stop", b"last")
        first = await one()
        assert (first.subject, first.data, first.headers) == ("stop.a.1", b"now", {"why": "shutdown"})
        assert await heard_by(two) == "now"
        assert await heard_by(no) == "last"


async def test_a_stream_keeps_a_message_once_for_each_id(server: Server) -> None:
    await server.make_stream("ORDERS", "orders.>")
    store = server.backend.messages.store
    assert await store("orders.new", b"1", {"Nats-Msg-Id": "U-1"}) == Kept(stream="ORDERS", seq=1)
    assert await store("orders.new", b"2", {"Nats-Msg-Id": "U-2"}) == Kept(stream="ORDERS", seq=2)
    assert await store("orders.new", b"1", {"Nats-Msg-Id": "U-1"}) == Kept(stream="ORDERS", seq=1, duplicate=True)
    assert await store("orders.old", b"3", {}) == Kept(stream="ORDERS", seq=3)


async def test_a_message_that_no_stream_takes_is_not_stored(server: Server) -> None:
    await server.make_stream("ORDERS", "orders.>")
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable, match="No stream takes this subject"):
        await server.backend.messages.store("order.new", b"", {})
    async with server.listening("order.new"):
        with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
            await server.backend.messages.store("order.new", b"", {})


async def test_the_subjects_of_natsched_are_its_own_and_no_others(backend: Backend) -> None:
    messages = backend.messages
    own = ["scheduler", "scheduler.schedule.a", "scheduler.x", messages.cancel_subject("U-1", 2)]
    others = ["schedulers.a", "a.scheduler", "scheduler-canceled.a", "work"]
    assert [messages.is_own(subject) for subject in own] == [True] * len(own)
    assert [messages.is_own(subject) for subject in others] == [False] * len(others)


async def test_the_message_that_stops_a_worker_is_of_one_attempt_and_in_no_stream_of_natsched(server: Server) -> None:
    messages = server.backend.messages
    subject = messages.cancel_subject("U-1", 2)
    assert subject == "scheduler-cancel.U-1.2"
    async with server.listening("scheduler-cancel.>") as hear:
        messages.publish(subject)
        assert (await hear()).subject == subject
    with pytest.raises(Unavailable):
        await messages.store(subject, b"", {})
