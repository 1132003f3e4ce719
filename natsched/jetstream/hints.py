"""The hints in the work-queue stream: schedules that the server fires, and deliveries."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from natsched.core.hints import Hint, Pending, decode_hint, encode_hint
from natsched.core.ids import is_job_id
from natsched.core.jobs import JobId
from natsched.errors import BackendError, DocumentError
from natsched.jetstream.naming import Names
from natsched.jetstream.publisher import EXPECTED, MESSAGE_ID, Publisher
from natsched.jetstream.requests import Message, Requests
from natsched.jetstream.translate import NotFound
from natsched.jetstream.wire import header
from natsched.turns import in_turns

_SCHEDULE: Final = "Nats-Schedule"
_TARGET: Final = "Nats-Schedule-Target"
_AT: Final = "@at "
_LATEST: Final = datetime(2262, 1, 1, tzinfo=UTC)
"""The server counts nanoseconds in 64 bits: what is later than 2262-04-11 it fires at once, measured with 2.15.1."""
_NOTHING_TO_DELETE: Final = frozenset({10037, 10043, 10057})
_CHUNK: Final = 256


class HintMessages:
    """`ports.HintStream` over a stream with message schedules.

    The server fires a schedule by storing a message with its body on the target subject and removing the
    schedule, in one operation. Schedules carry no `Nats-Msg-Id`: its window would swallow a republished one.
    """

    def __init__(self, names: Names, publisher: Publisher, requests: Requests) -> None:
        self._names = names
        self._publisher = publisher
        self._requests = requests

    async def schedule(self, hint: Hint, at: datetime, *, expected: int) -> int:
        names = self._names
        headers = {
            _SCHEDULE: f"{_AT}{min(at, _LATEST).astimezone(UTC).isoformat()}",
            _TARGET: names.delivery(hint),
            EXPECTED: str(expected),
        }
        return await self._publisher.publish(names.scheduled(hint), encode_hint(hint), headers)

    async def deliver(self, hint: Hint, *, once: str | None = None) -> None:
        headers = {MESSAGE_ID: once or hint.key}
        await self._publisher.publish(self._names.delivery(hint), encode_hint(hint), headers)

    async def scheduled(self, hints: Sequence[Hint]) -> Sequence[Pending | None]:
        subjects = [self._names.scheduled(hint) for hint in hints]
        if len(subjects) == 1:
            message = await self._requests.last(self._names.stream, subjects[0])
            return [pending(message, self._names) if message else None]
        found = await self._requests.last_of(self._names.stream, list(dict.fromkeys(subjects)))
        by_subject = {message.subject: pending(message, self._names) for message in found}
        return [by_subject.get(subject) for subject in subjects]

    async def scheduled_of(self, jobs: Sequence[JobId]) -> Mapping[JobId, Pending]:
        subjects = list(dict.fromkeys(self._names.schedule(job) for job in jobs))
        messages = await self._requests.last_of(self._names.stream, subjects)
        found = await in_turns(lambda message: pending(message, self._names), messages)
        return {it.job: it for it in found}

    async def delete(self, seq: int) -> None:
        body = {"seq": seq, "no_erase": True}
        try:
            await self._requests.call(f"STREAM.MSG.DELETE.{self._names.stream}", body)
        except NotFound as error:
            if error.details.get("err_code") not in _NOTHING_TO_DELETE:
                raise
        except BackendError as error:
            if error.details.get("err_code") not in _NOTHING_TO_DELETE:
                raise

    async def walk(self, *, chunk: int = _CHUNK) -> AsyncIterator[Sequence[Pending]]:
        scheduled = (f"{self._names.prefix}.schedule.", f"{self._names.prefix}.retry.")
        async for messages in self._requests.walk(self._names.stream, ">", chunk=chunk):  # `>` is by far the cheapest
            ours = [message for message in messages if message.subject.startswith(scheduled)]
            part = await in_turns(lambda message: pending(message, self._names), ours)
            if part:
                yield part

    async def deliveries(self) -> Sequence[Pending]:
        walk = self._requests.walk(self._names.stream, self._names.deliveries, chunk=_CHUNK)
        found: list[Pending] = []
        async for messages in walk:
            found += await in_turns(lambda message: pending(message, self._names), messages)
        return found


def read_hint(subject: str, data: bytes, names: Names) -> Hint:
    """Read the hint of a delivery; whatever is none is a DocumentError."""
    address = names.address(subject)
    if address is None or address.queue is None:
        raise DocumentError(field="subject", reason=f"{subject} is not the subject of a delivery")
    return decode_hint(data, job=address.job, queue=address.queue)


def pending(message: Message, names: Names) -> Pending:
    """Read a message of the stream: where it is to be delivered tells its queue."""
    address = names.address(message.subject)
    target = header(message.headers, _TARGET.encode()) or message.subject
    hint: Hint | None
    try:
        hint = read_hint(target, message.data, names)
    except DocumentError:
        hint = None
    return Pending(
        seq=message.seq,
        subject=message.subject,
        job=address.job if address and is_job_id(address.job) else JobId(""),
        hint=hint,
        at=_instant(header(message.headers, _SCHEDULE.encode()) or ""),
    )


def _instant(schedule: str) -> datetime | None:
    try:
        return datetime.fromisoformat(schedule.removeprefix(_AT)).astimezone(UTC)
    except ValueError:
        return None
