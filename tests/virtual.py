"""Virtual time: an event loop on which an hour passes in the moment in which nobody has anything to do.

When nothing is ready the loop jumps to its next timer instead of waiting for it. If there is no timer
either, nothing can ever happen: that is a `DeadlockError`. All that is waited for must live in the loop: no
threads, no processes, no network.

Two runs of the same code are the same run. For that the order of sets matters: anyio keeps tasks and cancel
scopes in sets, which go by `hash`, by default an address; here both are numbered in the order they were made.
"""

import asyncio
import itertools
import selectors
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar
from unittest import mock

import anyio
from anyio._backends._asyncio import CancelScope

P = ParamSpec("P")
T = TypeVar("T")
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_RESOLUTION: Final = 1e-6  # a timer may come so much early; asyncio's own 1e-9 is lost on a float of a year


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: every task waits for another."""


class VirtualClock:
    """A `Clock` by the running loop's time, which starts at `epoch`."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self._epoch = epoch

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: moves the time instead."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError(DeadlockError.__doc__)
        self.time += max(timeout, 0)
        return []


class _NumberedTask(asyncio.Task[Any]):
    def __init__(self, coroutine: Any, *, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer whenever nothing is ready."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = _RESOLUTION
        self._numbers = itertools.count()
        self.set_task_factory(self._numbered)

    def time(self) -> float:
        return self._jumping.time

    def _numbered(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return _NumberedTask(coroutine, number=next(self._numbers), loop=loop, **options)


@contextmanager
def _numbered_scopes() -> Iterator[None]:
    numbers = itertools.count()
    given: dict[int, int] = {}

    def number(scope: CancelScope) -> int:
        if id(scope) not in given:
            given[id(scope)] = next(numbers)
            weakref.finalize(scope, given.pop, id(scope))
        return given[id(scope)]

    with mock.patch.object(CancelScope, "__hash__", number):
        yield


def run_virtual(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async function on a loop of its own, on virtual time."""
    with _numbered_scopes(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(function())


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of an async function that runs on virtual time."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(lambda: test(*args, **kwargs))

    return run
