"""Calling a handler: its time limit, its thread, its end as a value."""

import json
import traceback
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final, cast

import anyio
import anyio.to_thread
from pydantic import JsonValue

from natsched.core.executions import ExecutionStatus
from natsched.core.retries import Failure
from natsched.core.specs import MAX_DEPTH, depth_of
from natsched.targets.context import Context
from natsched.targets.control import Control
from natsched.targets.registry import Handler, is_async
from natsched.targets.signals import Abort, Retry, TargetFailed

_TRACEBACK: Final = 8 * 1024
_MESSAGE: Final = 1024

MAX_RESULT: Final = 256 * 1024
"""Bytes of JSON that a result may have to be kept in the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended: ok, failed, timed out, or cancelled from outside."""

    status: ExecutionStatus
    reason: str | None = None
    error: str | None = None
    traceback: str | None = None
    result: JsonValue = None
    failure: Failure = field(default_factory=Failure)


OK: Final = Ended(status=ExecutionStatus.OK)


class Caller:
    """Calls handlers; the plain functions among them share `threads` threads, or without any run on the loop."""

    def __init__(self, *, threads: int) -> None:
        self._threads = anyio.CapacityLimiter(threads) if threads else None

    async def call(
        self,
        handler: Handler,
        context: Context,
        *,
        timeout: float | None,  # noqa: ASYNC109
        control: Control | None = None,
    ) -> Ended:
        """Call and say how it ended; only cancellation from outside leaves as an exception."""
        try:
            if timeout is None:
                return _ended_well(await self._call(handler, context))
            with anyio.move_on_after(timeout) as limit:
                if control is not None:
                    control.limit = limit
                return _ended_well(await self._call(handler, context))
            if limit.cancelled_caught:
                return Ended(
                    status=ExecutionStatus.TIMED_OUT,
                    error=f"it ran longer than {timeout:g} s",
                    failure=Failure(names=_names(TimeoutError)),
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises is its outcome, told in the record
            return failed(error)
        return OK

    async def _call(self, handler: Handler, context: Context) -> object:
        if is_async(handler):
            return await cast("Awaitable[object]", handler(context))
        if self._threads is None:
            result = handler(context)
        else:
            result = await anyio.to_thread.run_sync(handler, context, limiter=self._threads, abandon_on_cancel=True)
        if result is not None and hasattr(result, "__await__"):
            return await result
        return result


def _ended_well(result: object) -> Ended:
    """Take what a handler returned as its result, if that can be stored."""
    if result is None:
        return OK
    try:
        size = len(json.dumps(result, allow_nan=False, ensure_ascii=False).encode())
        depth = depth_of(result)
    except (TypeError, ValueError, RecursionError):
        return Ended(status=ExecutionStatus.OK, reason="its result is not JSON, and is not kept")
    if depth > MAX_DEPTH:
        return Ended(status=ExecutionStatus.OK, reason=f"its result is nested {depth} deep, and is not kept")
    if size > MAX_RESULT:
        return Ended(status=ExecutionStatus.OK, reason=f"its result has {size:,} bytes, and is not kept")
    return Ended(status=ExecutionStatus.OK, result=cast("JsonValue", result))


def failed(error: BaseException) -> Ended:
    """Describe an exception, cut to what a record may hold."""
    is_told = isinstance(error, TargetFailed | Abort | Retry)
    text = None if is_told else "".join(traceback.format_exception(error))[-_TRACEBACK:]
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Ended(
        status=ExecutionStatus.FAILED,
        error=writable(message[:_MESSAGE]),
        traceback=None if text is None else writable(text),
        failure=_failure(error),
    )


def writable(text: str) -> str:
    """Return a text without halves of surrogates, which no record and no note could hold."""
    return text.encode(errors="replace").decode()


def _failure(error: BaseException) -> Failure:
    match error:
        case Retry(after=after):
            return Failure(names=_names(Retry), again=True, after=after)
        case Abort():
            return Failure(names=_names(Abort), again=False)
        case _:
            return Failure(names=_names(type(error)))


def _names(kind: type[BaseException]) -> tuple[str, ...]:
    """Return what a class and its bases are called, with and without their module."""
    bases = [base for base in kind.__mro__ if base is not object]
    return (*(base.__name__ for base in bases), *(f"{base.__module__}.{base.__qualname__}" for base in bases))
