"""What an application wants to be told of its runs: hooks, for one job or for all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from pydantic import JsonValue

from natsched.core.executions import ExecutionStatus
from natsched.targets.context import Context

HookName: TypeAlias = Literal["on_start", "on_success", "on_error", "on_stop", "on_pause", "on_resume", "finally"]
HOOKS: Final[tuple[str, ...]] = get_args(HookName)
LIMIT: Final = 30.0
"""Seconds that a hook may take unless it says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """What a hook is called with.

    `status` is how the attempt ended: ok, failed or timed_out (whether another one follows is decided after the
    hooks); it is None before the end, and where the run was stopped from outside: `reason` then says by what.
    """

    hook: HookName
    context: Context
    status: ExecutionStatus | None = None
    error: str | None = None
    result: JsonValue = None
    reason: str | None = None


HookFunction: TypeAlias = Callable[[HookEvent], Awaitable[object] | object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One registered hook; `job` is None where it is for all jobs, `timeout` is seconds."""

    name: HookName
    function: HookFunction
    job: str | None = None
    ignore_error: bool = True
    timeout: float = LIMIT
