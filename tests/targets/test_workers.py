"""Requests to workers, which these tests play on virtual time: what a worker is told, and what its words become."""

import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from pydantic import JsonValue

from natsched.core.executions import ExecutionStatus
from natsched.core.targets import NatsRequest
from natsched.memory.messages import Heard, MemoryMessages
from natsched.memory.timers import Timers
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.workers import WorkerCaller
from tests.factories import NOON
from tests.targets.attention import Attentive
from tests.virtual import VirtualClock, run_virtual, virtual_time

CANCEL = "scheduler-cancel.U-1.2"


def start_soon(tasks: TaskGroup, work: Callable[[Heard], Coroutine[Any, Any, None]], heard: Heard) -> None:
    tasks.start_soon(work, heard)


class Play:
    """A replica that asks on `work`, the messages between, and whoever is told to stop."""

    def __init__(self) -> None:
        self.messages = MemoryMessages(Timers(VirtualClock()), duplicates_window=timedelta(minutes=2))
        self.control = Attentive()
        self.stopped: list[str] = []
        self.messages.subscribe("scheduler-cancel.>", lambda heard: self.stopped.append(heard.subject))

    def worker(self, listener: Callable[[Heard], None]) -> None:
        self.messages.subscribe("work", listener)

    def answers(self, data: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Have a worker that answers at once."""
        self.worker(lambda heard: self.messages.publish(heard.reply, data, headers))

    async def ended(
        self, limit: float | None = None, *, options: Mapping[str, Any] | None = None, **fields: Any
    ) -> Ended:
        """Ask as a replica does."""
        told: dict[str, Any] = {"job_id": "a.b", "execution_id": "U-1", "due": NOON, "started_at": NOON, "attempt": 2}
        context = Context(**{**told, "metadata": {}, "payload": None, "control": self.control, **fields})
        target = NatsRequest(**{"subject": "work", **(options or {})})
        return await Caller(threads=1).call(WorkerCaller(self.messages).handler(target), context, timeout=limit)


def answered(data: bytes = b"", headers: Mapping[str, str] | None = None) -> Ended:
    """Return how a run ends whose worker answers this."""

    async def ask() -> Ended:
        play = Play()
        play.answers(data, headers)
        ended = await play.ended()
        assert play.stopped == []
        return ended

    return run_virtual(ask)


@virtual_time
async def test_a_worker_is_told_what_it_is_to_do_and_for_whom() -> None:
    play = Play()
    heard: list[Heard] = []
    play.worker(heard.append)
    play.answers()
    deadline = NOON + timedelta(seconds=90)
    await play.ended(payload={"user": "ü"}, deadline=deadline, options={"headers": {"Own": "1"}})
    (one,) = heard
    assert json.loads(one.data) == {"user": "ü"}
    trace = one.headers["traceparent"]
    assert one.headers == {
        "natsched-version": "1",
        "natsched-job": "a.b",
        "natsched-execution": "U-1",
        "natsched-attempt": "2",
        "natsched-due": "2026-01-01T12:00:00+00:00",
        "natsched-deadline": "2026-01-01T12:01:30+00:00",
        "natsched-progress": "_INBOX.1.check-in",
        "natsched-cancel": CANCEL,
        "traceparent": trace,
        "own": "1",
    }


@virtual_time
async def test_a_job_without_payload_and_limit_sends_neither() -> None:
    play = Play()
    heard: list[Heard] = []
    play.worker(heard.append)
    play.answers()
    await play.ended()
    assert heard[0].data == b""
    assert "natsched-deadline" not in heard[0].headers


@pytest.mark.parametrize(
    ("data", "result"), [(b"", None), (b"null", None), (b'{"rows": 3}', {"rows": 3}), (b'"\xc3\xbc"', "ü"), (b"0", 0)]
)
def test_the_body_of_an_answer_is_the_result(data: bytes, result: JsonValue) -> None:
    ended = answered(data)
    assert (ended.status, ended.result) == (ExecutionStatus.OK, result)


def test_a_large_result_is_not_kept_as_that_of_a_handler() -> None:
    ended = answered(json.dumps("x" * 300_000).encode())
    assert (ended.status, ended.result) == (ExecutionStatus.OK, None)
    assert ended.reason == "its result has 300,002 bytes, and is not kept"


@pytest.mark.parametrize("data", [b"done", b"\xff\xfe", b"{", b'{"n": NaN}', b"[" * 100_000], ids=repr)
def test_an_answer_that_is_no_json_fails_and_says_so(data: bytes) -> None:
    ended = answered(data)
    assert ended.status is ExecutionStatus.FAILED
    assert (ended.error or "").startswith("BadAnswer: the answer of the worker on 'work' is no JSON: ")
    assert ended.traceback is None


@pytest.mark.parametrize(
    ("headers", "data", "error", "again"),
    [
        ({"Natsched-Error": "no paper"}, b"", "WorkerFailed: no paper", None),
        ({"Natsched-Error": "no paper", "Natsched-Retryable": "true"}, b"", "WorkerFailed: no paper", None),
        ({"Natsched-Error": "no paper", "Natsched-Retryable": "false"}, b"", "Abort: no paper", False),
        ({"natsched-error": "no paper", "natsched-retryable": "False"}, b"", "Abort: no paper", False),
        ({"Natsched-Error": "no paper"}, b'{"tray": 2}', 'WorkerFailed: no paper: {"tray": 2}', None),
        ({"Natsched-Error": ""}, b"", "WorkerFailed: the worker on 'work' failed", None),
    ],
)
def test_an_error_is_the_workers_word_and_final_only_if_it_says_so(
    headers: Mapping[str, str], data: bytes, error: str, again: bool | None
) -> None:
    ended = answered(data, headers)
    assert (ended.status, ended.error, ended.failure.again) == (ExecutionStatus.FAILED, error, again)
    assert ended.traceback is None


def test_the_confirmation_of_a_stream_is_no_answer() -> None:
    ended = answered(b'{"stream":"ORDERS","seq":7}')
    assert ended.failure.again is False
    assert "'work' belongs to the stream 'ORDERS'" in (ended.error or "")
    assert answered(b'{"stream":"ORDERS","seq":7,"rows":1}').status is ExecutionStatus.OK


@virtual_time
async def test_where_nobody_listens_the_attempt_fails_at_once_and_names_the_subject() -> None:
    play = Play()
    ended = await play.ended(limit=60)
    assert ended.error == "NoWorker: nobody listens on 'work': is a worker for it up?"
    assert {"NoWorker", "TargetFailed"} <= set(ended.failure.names)
    assert (ended.failure.again, play.stopped) == (None, [])
    assert anyio.current_time() == 0


@virtual_time
async def test_what_a_worker_says_on_the_way_becomes_check_ins() -> None:
    play = Play()

    def work(heard: Heard) -> None:
        progress = heard.headers["natsched-progress"]
        for said in (
            b'{"text": "1 of 2", "data": {"page": 1}}',
            b"",
            b"no json",
            b'["text"]',
            b'{"text": 7}',
            b'{"text": "2 of 2 \\ud800"}',
            json.dumps({"text": "too much", "data": "x" * 70_000}).encode(),
        ):
            play.messages.publish(progress, said)
        play.messages.publish(heard.reply, b"2")
        play.messages.publish(progress, b'{"text": "too late"}')

    play.worker(work)
    ended = await play.ended()
    assert ended.result == 2
    assert play.control.told == [("1 of 2", {"page": 1}), ("2 of 2 ?", None), ("too much", None)]


@virtual_time
async def test_a_worker_is_told_to_stop_when_the_time_is_over() -> None:
    play = Play()
    play.worker(lambda heard: None)
    ended = await play.ended(limit=3)
    assert ended.status is ExecutionStatus.TIMED_OUT
    assert (play.stopped, anyio.current_time()) == ([CANCEL], 3)


@virtual_time
async def test_a_worker_is_told_to_stop_when_its_run_is_cancelled() -> None:
    play = Play()
    play.worker(lambda heard: None)
    with anyio.move_on_after(2):
        await play.ended()
    assert play.stopped == [CANCEL]


@virtual_time
async def test_a_worker_that_is_silent_for_longer_than_the_heartbeat_counts_as_dead() -> None:
    play = Play()
    async with anyio.create_task_group() as workers:

        async def work(heard: Heard) -> None:
            for _ in range(5):
                await anyio.sleep(9)
                play.messages.publish(heard.headers["natsched-progress"], b"")

        play.worker(partial(start_soon, workers, work))
        ended = await play.ended(limit=600, options={"heartbeat": 10})
    assert anyio.current_time() == 5 * 9 + 10
    assert ended.error == "WorkerSilent: its worker on 'work' neither checked in nor answered for 10 s"
    assert (ended.failure.again, play.stopped) == (None, [CANCEL])


@virtual_time
async def test_without_a_heartbeat_a_silent_worker_may_take_its_time() -> None:
    play = Play()
    async with anyio.create_task_group() as workers:

        async def work(heard: Heard) -> None:
            await anyio.sleep(86_400)
            play.messages.publish(heard.reply, b"1")

        play.worker(partial(start_soon, workers, work))
        assert (await play.ended()).result == 1
    assert play.stopped == []


@virtual_time
async def test_a_request_on_a_subject_of_natsched_is_given_up() -> None:
    play = Play()
    for subject in ("scheduler.delivery.default.plan.a", "scheduler-cancel.U-1.1"):
        ended = await play.ended(options={"subject": subject})
        assert ended.failure.again is False
        assert f"{subject!r} is natsched's own" in (ended.error or "")
    assert play.stopped == []
