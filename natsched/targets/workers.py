"""Asking workers over NATS: `docs/workers.md` is the protocol, in words for those who write them."""

import json
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import anyio
from pydantic import JsonValue

from natsched.core.targets import NatsRequest
from natsched.errors import BackendError, InvalidJob
from natsched.logs import get_logger
from natsched.ports import Messages, Request, Said
from natsched.targets.context import Context
from natsched.targets.headers import encoded, joined, told
from natsched.targets.registry import Handler
from natsched.targets.signals import Abort, TargetFailed

VERSION: Final = "1"
_DETAIL: Final = 500
_ACK: Final = frozenset({"stream", "seq", "domain", "duplicate"})

log = get_logger(__name__)


class NoWorker(TargetFailed):
    """Nobody listens on the subject."""


class WorkerFailed(TargetFailed):
    """The worker answered with an error that another attempt may not meet."""


class WorkerSilent(TargetFailed):
    """The worker neither checked in nor answered for the length of the heartbeat."""


class BadAnswer(TargetFailed):
    """The worker's answer cannot be read."""


class WorkerCaller:
    """Asks workers, and tells them when nobody waits for their answer any more."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def handler(self, target: NatsRequest) -> Handler:
        """Return the request as something to call, as a handler is."""
        return partial(self._ask, target)

    async def _ask(self, target: NatsRequest, context: Context) -> JsonValue:
        """Ask and return the answer; what is said on the way becomes check-ins of the run.

        Raise one of the errors above, or `Abort` for a final error. However the wait for an answer ends without
        one, by a cancellation too, the worker is told to stop.
        """
        if self._messages.is_own(target.subject):
            raise Abort(f"{target.subject!r} is natsched's own: have workers listen on another subject")
        cancel = self._messages.cancel_subject(context.execution_id, context.attempt)
        async with self._messages.request(target.subject) as request:
            headers = {**_headers(context), "Natsched-Progress": request.check_ins, "Natsched-Cancel": cancel}
            await request.send(encoded(context.payload), joined(headers, target.headers))
            answered = False
            try:
                said = await _answer(request, target, context)
                answered = True
            finally:
                if not answered:
                    with suppress(BackendError):  # it would hide why nobody waits any more
                        self._messages.publish(cancel, headers=told(context))
        return _result(said, target.subject)


def _headers(context: Context) -> dict[str, str]:
    headers = {"Natsched-Version": VERSION, **told(context)}
    if context.deadline is not None:
        headers["Natsched-Deadline"] = context.deadline.isoformat()
    return headers


async def _answer(request: Request, target: NatsRequest, context: Context) -> Said:
    while True:
        with anyio.move_on_after(target.heartbeat) as silence:
            said = await request.receive()
        if silence.cancelled_caught:
            raise WorkerSilent(
                f"its worker on {target.subject!r} neither checked in nor answered for {target.heartbeat:g} s"
            )
        if said.kind != "check-in":
            return said
        _check_in(said.data, context)


def _check_in(data: bytes, context: Context) -> None:
    """Pass on what a worker says on the way; an empty message only shows that it lives."""
    if not data:
        return
    try:
        said = _json(data)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(text := said.get("text"), str):
        log.warning("a worker's check-in cannot be read", action="bad_check_in", execution=context.execution_id)
        return
    text = text.encode(errors="replace").decode()
    try:
        context.check_in(text, said.get("data"))
    except InvalidJob as error:
        context.check_in(text)
        log.warning(
            "the data of a worker's check-in cannot be kept",
            action="bad_check_in",
            execution=context.execution_id,
            error=str(error),
        )


def _result(said: Said, subject: str) -> JsonValue:
    if said.kind == "nobody":
        raise NoWorker(f"nobody listens on {subject!r}: is a worker for it up?")
    problem = said.headers.get("natsched-error")
    if problem is not None:
        _fail(problem, said, subject)
    if not said.data:
        return None
    try:
        result = _json(said.data)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer of the worker on {subject!r} is no JSON: {_beginning(said.data)}") from error
    if isinstance(result, dict) and {"stream", "seq"} <= result.keys() <= _ACK and not said.headers:
        raise Abort(
            f"{subject!r} belongs to the stream {result['stream']!r}, which answers before any worker can: "
            "take a subject of no stream, or publish to this one with `Publish`"
        )
    return result


def _fail(problem: str, said: Said, subject: str) -> NoReturn:
    message = problem or f"the worker on {subject!r} failed"
    if said.data:
        message = f"{message}: {_beginning(said.data)}"
    if said.headers.get("natsched-retryable", "").lower() == "false":
        raise Abort(message)
    raise WorkerFailed(message)


def _json(data: bytes) -> JsonValue:
    """Read JSON, without the numbers that are none."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    read: JsonValue = json.loads(data, parse_constant=refuse)
    return read


def _beginning(data: bytes) -> str:
    return data.decode(errors="replace")[:_DETAIL]
