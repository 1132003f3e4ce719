"""The handlers of an application, by name, its hooks, and the jobs that it declares."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias, TypeVar, Unpack

from natsched.core.chains import After, in_order
from natsched.core.ids import job_id
from natsched.core.schedules import Schedule
from natsched.core.specs import JobOptions
from natsched.errors import DuplicateHandler, InvalidJob
from natsched.targets.context import Context
from natsched.targets.hooks import HOOKS, LIMIT, Hook, HookFunction, HookName

Handler: TypeAlias = Callable[[Context], Awaitable[object] | object]
H = TypeVar("H", bound=Callable[[Context], Any])
F = TypeVar("F", bound=HookFunction)

_DEFAULT: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A job that the application declares: ensured whenever a replica starts."""

    id: str
    schedule: Schedule
    options: JobOptions = field(default_factory=JobOptions)


class Registry:
    """The handlers and jobs of an application; `natsched serve --app package.module:registry` imports it.

    A handler takes a `Context`. A coroutine function runs on the event loop; a plain function runs in a
    thread, where a timeout cannot stop it: its result is then ignored.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._jobs: dict[str, Declared] = {}
        self._hooks: list[Hook] = []

    @classmethod
    def joined(cls, parts: Iterable[tuple[str, "Registry"]]) -> Self:
        """Return all that some registries have; `DuplicateHandler` names both of those that share a name."""
        whole = cls()
        owners: dict[str, str] = {}
        for source, part in parts:
            for name, handler in part.handlers.items():
                if name in owners:
                    title = f"a handler named {name!r}" if name else "a default handler"
                    raise DuplicateHandler(
                        f"both {owners[name]} and {source} have {title}: rename one, or leave one of them out",
                        name=name,
                    )
                owners[name] = source
                whole._handlers[name] = handler
            whole._jobs.update(part._jobs)
            whole._hooks += part._hooks
        return whole

    def job(self, id: str, schedule: Schedule, **options: Unpack[JobOptions]) -> Callable[[H], H]:  # noqa: A002
        """Register a handler under the job's id and declare the job; ensured whenever a replica starts."""
        if options.get("handler") is not None:
            raise InvalidJob("the decorated function is the handler: leave it out", field="handler")
        checked = job_id(id)

        def register(handler: H) -> H:
            self._add(checked, handler)
            named: JobOptions = {**options, "handler": checked}
            self._jobs[checked] = Declared(id=checked, schedule=schedule, options=named)
            return handler

        return register

    def handler(self, name: str) -> Callable[[H], H]:
        """Register a handler for jobs that are created at run time and name it."""
        if not isinstance(name, str) or not name.strip():
            raise InvalidJob(f"{name!r} is no name for a handler: take text", field="handler")

        def register(handler: H) -> H:
            self._add(name, handler)
            return handler

        return register

    def default(self, handler: H) -> H:
        """Register the handler of every job that names none; it tells them apart by id or metadata."""
        self._add(_DEFAULT, handler)
        return handler

    def hook(
        self, name: HookName, *, job: str | None = None, ignore_error: bool = True, timeout: float = LIMIT
    ) -> Callable[[F], F]:
        """Register a hook: a coroutine function, or a plain one (which runs in a thread), that takes a `HookEvent`.

        It is called for one job, or for all. Its errors are kept in the record's `hooks`; with `ignore_error` false
        one of on_start, on_success or finally fails the run, as one of on_pause or on_resume does. `timeout` is
        seconds.
        """
        if name not in HOOKS:
            raise InvalidJob(f"{name!r} is no hook: take one of {', '.join(HOOKS)}", field="hook")
        if not 0 < timeout < float("inf"):
            raise InvalidJob(f"{timeout} s is no time limit: take more than 0", field="timeout")
        checked = None if job is None else job_id(job)

        def register(function: F) -> F:
            if not callable(function):
                raise InvalidJob(f"{function!r} is not callable", field="hook")
            self._hooks.append(
                Hook(name=name, function=function, job=checked, ignore_error=ignore_error, timeout=timeout)
            )
            return function

        return register

    def hooks_of(self, job: str) -> Sequence[Hook]:
        """Return the hooks that are called for a job, in the order they were registered."""
        return [hook for hook in self._hooks if hook.job in (None, job)] if self._hooks else ()

    def find(self, name: str | None) -> Handler | None:
        """Return the handler of that name, or the default one for None."""
        return self._handlers.get(name or _DEFAULT)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by name; the default one under the empty name."""
        return MappingProxyType(self._handlers)

    def declared(self) -> Iterator[Declared]:
        """Return the jobs that this application declares, each behind those that it runs after."""
        before = {job.id: job.schedule.jobs for job in self._jobs.values() if isinstance(job.schedule, After)}
        return iter(in_order(self._jobs, before))

    def _add(self, name: str, handler: Callable[[Context], Any]) -> None:
        if not callable(handler):
            raise InvalidJob(f"{handler!r} is not callable", field="handler")
        if name in self._handlers:
            title = f"a handler named {name!r}" if name else "a default handler"
            raise DuplicateHandler(
                f"{title} is registered already ({_place(self._handlers[name])}); the second is {_place(handler)}",
                name=name,
            )
        self._handlers[name] = handler


def is_async(handler: Callable[..., Any]) -> bool:
    """Whether calling the handler gives an awaitable: coroutine functions, partials and callable objects."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method is looked at, not whether it exists
    )


def _place(handler: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(handler), "__code__", None)
    name = getattr(handler, "__qualname__", repr(handler))
    return f"{name}, {code.co_filename}:{code.co_firstlineno}" if code is not None else str(name)
