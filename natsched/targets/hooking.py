"""Calling hooks around a run, each with its own limit, and each error kept apart from the run's own.

on_start, the handler, then on_success or on_error, or on_stop where the run was stopped from outside, and
finally last. An error of a hook never takes the place of the run's; only where it is not to be ignored, and
nothing else went wrong, does it fail the run.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import anyio

from natsched.core.executions import ExecutionStatus
from natsched.logs import get_logger
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.hooks import Hook, HookEvent, HookName

STOPPING: Final = 3.0
"""Seconds that on_stop and finally have together where a run is stopped: its last writes still have to follow."""

_MESSAGE: Final = 1024

log = get_logger(__name__)


class HookFailed(Exception):
    """A hook failed whose errors are not to be ignored."""


class HookedRun:
    """The hooks of one attempt; `errors` are those of its hooks so far, by their names."""

    def __init__(self, hooks: Sequence[Hook], caller: Caller, context: Context) -> None:
        self._hooks = hooks
        self._caller = caller
        self._context = context
        self._until: float | None = None
        self.errors: dict[str, str] = {}

    async def run(self, call: Callable[[], Awaitable[Ended]], stopped: Callable[[], str | None]) -> Ended:
        """Call the handler with all hooks around it and say how it ended.

        `stopped` says why the run was stopped, if it was: the cancellation then goes on when the hooks were told,
        unless the handler had ended before: that end stands.
        """
        try:
            ended = await self._started(call)
        except anyio.get_cancelled_exc_class():
            reason = stopped()
            if reason is not None:
                await self._tell_stop(reason)
            raise
        if self._context.control.was_seen:  # a thread, which was asked to end and did
            await self._tell_stop(stopped() or "stopped")
            return ended
        try:
            ended = await self._told_of(ended)
        except anyio.get_cancelled_exc_class():
            if stopped() is None:
                raise
            self._until = anyio.current_time() + STOPPING
        failure = None
        try:
            failure = await self._tell_end("finally", ended)
        except anyio.get_cancelled_exc_class():
            if stopped() is None:
                raise
        return _failed_by("finally", ended, failure)

    async def tell(self, name: HookName) -> None:
        """Tell of a pause or of its end; raise `HookFailed` if a hook fails whose errors are not to be ignored."""
        failure = await self._tell(HookEvent(hook=name, context=self._context))
        if failure is not None:
            raise HookFailed(f"{name}: {failure.error}")

    async def _started(self, call: Callable[[], Awaitable[Ended]]) -> Ended:
        failure = await self._tell(HookEvent(hook="on_start", context=self._context))
        return await call() if failure is None else replace(failure, error=f"on_start: {failure.error}")

    async def _told_of(self, ended: Ended) -> Ended:
        if ended.status is not ExecutionStatus.OK:
            await self._tell_end("on_error", ended)
            return ended
        ended = _failed_by("on_success", ended, await self._tell_end("on_success", ended))
        if ended.status is not ExecutionStatus.OK:
            await self._tell_end("on_error", ended)
        return ended

    async def _tell_end(self, name: HookName, ended: Ended) -> Ended | None:
        return await self._tell(
            HookEvent(
                hook=name,
                context=self._context,
                status=ended.status,
                error=ended.error,
                result=ended.result,
                reason=ended.reason,
            )
        )

    async def _tell_stop(self, reason: str) -> None:
        self._until = anyio.current_time() + STOPPING
        with anyio.CancelScope(shield=True):
            for name in ("on_stop", "finally"):
                await self._tell(HookEvent(hook=name, context=self._context, reason=reason))

    async def _tell(self, event: HookEvent) -> Ended | None:
        """Call the hooks of that name in the order they were registered; return the first failure that counts."""
        failure: Ended | None = None
        for hook in self._hooks:
            if hook.name == event.hook:
                ended = await self._call(hook, event)
                if ended.status is not ExecutionStatus.OK:
                    self._note(hook, ended.error or ended.status.value, ended.traceback)
                    failure = failure or (None if hook.ignore_error else ended)
        return failure

    async def _call(self, hook: Hook, event: HookEvent) -> Ended:
        limit = hook.timeout
        if self._until is not None:
            limit = min(limit, max(self._until - anyio.current_time(), 0.0))
        function: Any = hook.function
        try:
            return await self._caller.call(function, event, timeout=limit)  # type: ignore[arg-type]
        except anyio.get_cancelled_exc_class():
            self._note(hook, "it was cut off: the run was stopped")
            raise

    def _note(self, hook: Hook, error: str, traceback: str | None = None) -> None:
        context = self._context
        before = self.errors.get(hook.name)
        self.errors[hook.name] = (f"{before}; {error}" if before else error)[:_MESSAGE]
        log.warning(
            "a hook failed",
            action="hook_failed",
            hook=hook.name,
            job=context.job_id,
            execution=context.execution_id,
            attempt=context.attempt,
            error=error,
            exception=traceback,
        )


def _failed_by(name: str, ended: Ended, failure: Ended | None) -> Ended:
    """Return the end as it was, or as the failure of a hook if nothing else had gone wrong."""
    if failure is None or ended.status is not ExecutionStatus.OK:
        return ended
    return replace(failure, error=f"{name}: {failure.error}")
