"""Calling a handler: its time limit, its thread, its end as a value."""

import traceback
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final, cast

import anyio
import anyio.to_thread

from natsched.core.executions import ExecutionStatus
from natsched.core.retries import Failure
from natsched.targets.context import Context
from natsched.targets.registry import Handler, is_async
from natsched.targets.signals import Abort, Retry

_TRACEBACK: Final = 8 * 1024
_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended: ok, failed, timed out, or cancelled from outside."""

    status: ExecutionStatus
    error: str | None = None
    traceback: str | None = None
    failure: Failure = field(default_factory=Failure)


OK: Final = Ended(status=ExecutionStatus.OK)


class Caller:
    """Calls handlers; the plain functions among them share `threads` threads of their own."""

    def __init__(self, *, threads: int) -> None:
        self._threads = anyio.CapacityLimiter(threads)

    async def call(self, handler: Handler, context: Context, *, timeout: float | None) -> Ended:  # noqa: ASYNC109
        """Call and say how it ended; only cancellation from outside leaves as an exception."""
        try:
            if timeout is None:
                await self._call(handler, context)
                return OK
            with anyio.move_on_after(timeout) as limit:
                await self._call(handler, context)
            if limit.cancelled_caught:
                return Ended(
                    status=ExecutionStatus.TIMED_OUT,
                    error=f"it ran longer than {timeout:g} s",
                    failure=Failure(names=_names(TimeoutError)),
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises is its outcome, told in the record
            return failed(error)
        return OK

    async def _call(self, handler: Handler, context: Context) -> None:
        if is_async(handler):
            await cast("Awaitable[None]", handler(context))
            return
        result = await anyio.to_thread.run_sync(handler, context, limiter=self._threads, abandon_on_cancel=True)
        if result is not None and hasattr(result, "__await__"):
            await result


def failed(error: BaseException) -> Ended:
    """Describe an exception, cut to what a record may hold."""
    text = "".join(traceback.format_exception(error))
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Ended(
        status=ExecutionStatus.FAILED,
        error=message[:_MESSAGE],
        traceback=text[-_TRACEBACK:],
        failure=_failure(error),
    )


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
