"""Messages into a stream of others."""

import json
from datetime import timedelta
from typing import Any

from natsched.core.executions import ExecutionStatus
from natsched.core.targets import Publish
from natsched.memory.messages import MemoryMessages
from natsched.memory.timers import Timers
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.publishing import Publisher
from tests.factories import NOON
from tests.virtual import VirtualClock, virtual_time


def messages() -> MemoryMessages:
    return MemoryMessages(Timers(VirtualClock()), duplicates_window=timedelta(minutes=2))


async def ended(sent: MemoryMessages, *, payload: Any = None, attempt: int = 1, **options: Any) -> Ended:
    """Publish as a replica does."""
    told: dict[str, Any] = {"job_id": "a.b", "execution_id": "U-1", "due": NOON, "started_at": NOON}
    context = Context(**told, attempt=attempt, metadata={}, payload=payload)
    target = Publish(**{"subject": "orders.expired", **options})
    return await Caller(threads=1).call(Publisher(sent).handler(target), context, timeout=None)


@virtual_time
async def test_the_payload_goes_into_the_stream_and_the_result_says_where() -> None:
    sent = messages()
    stream = sent.add_stream("ORDERS", "orders.>")
    found = await ended(sent, payload={"order": 7}, headers={"Own": "1"})
    assert (found.status, found.result) == (
        ExecutionStatus.OK,
        {"stream": "ORDERS", "seq": 1, "duplicate": False},
    )
    (message,) = stream.messages
    assert json.loads(message.data) == {"order": 7}
    assert message.headers.pop("traceparent").startswith("00-")  # type: ignore[attr-defined]
    assert message.headers == {
        "natsched-job": "a.b",
        "natsched-execution": "U-1",
        "natsched-attempt": "1",
        "natsched-due": "2026-01-01T12:00:00+00:00",
        "nats-msg-id": "U-1",
        "own": "1",
    }


@virtual_time
async def test_another_attempt_of_the_execution_is_not_stored_twice() -> None:
    sent = messages()
    stream = sent.add_stream("ORDERS", "orders.>")
    await ended(sent)
    assert (await ended(sent, attempt=2)).result == {"stream": "ORDERS", "seq": 1, "duplicate": True}
    assert len(stream.messages) == 1


@virtual_time
async def test_an_own_body_goes_before_the_payload() -> None:
    sent = messages()
    stream = sent.add_stream("ORDERS", "orders.>")
    await ended(sent, payload={"order": 7}, body=[1])
    assert [message.data for message in stream.messages] == [b"[1]"]


@virtual_time
async def test_without_a_stream_the_attempt_fails_and_names_the_subject() -> None:
    found = await ended(messages())
    assert (found.error or "").startswith(
        "NotStored: no stream took a message on 'orders.expired': is there one for it?"
    )
    assert (found.failure.again, found.traceback) == (None, None)
    assert "TargetFailed" in found.failure.names


@virtual_time
async def test_a_message_to_natsched_itself_is_given_up() -> None:
    found = await ended(messages(), subject="scheduler.schedule.a")
    assert found.error == "Abort: 'scheduler.schedule.a' is natsched's own: publish on another subject"
    assert found.failure.again is False
