"""Signals to a running replica: the first drains it, the second ends its runs, the third ends everything.

SIGHUP has it do something else, if it was told what.
"""

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import Final, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from natsched.daemon.replica import Replica

T = TypeVar("T")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_PATIENCE: Final = 2


class Stopping:
    """What stops a process: signals, a time limit, or whoever calls `stop`."""

    def __init__(self, *, hears_hangup: bool = False) -> None:
        self.on_hangup: Callable[[], Coroutine[None, None, None]] | None = None
        self._signals = (*SIGNALS, signal.SIGHUP) if hears_hangup else SIGNALS
        self._scope = anyio.CancelScope()
        self._replica: Replica | None = None
        self._said = 0

    @property
    def before_ready(self) -> bool:
        """Whether it was stopped before there was a replica to drain."""
        return self._said > 0 and self._replica is None

    def stop(self) -> None:
        """Drain the replica; again: at once; once more, or before there is one: end everything."""
        self._said += 1
        if self._replica is None or self._said > _PATIENCE:
            self._scope.cancel()
        else:
            self._replica.stop()

    async def run(self, replica: Replica, ready: Callable[[], None], *, seconds: float | None = None) -> None:
        """Run the replica until it has stopped, or for so long; `ready` is called when it takes deliveries."""
        async with anyio.create_task_group() as timer:
            async with anyio.create_task_group() as tasks:
                await tasks.start(replica.run, name="replica")
                self._replica = replica
                ready()
                if seconds is not None:
                    timer.start_soon(self._stop_after, seconds, name="time limit")
            timer.cancel_scope.cancel()

    async def _stop_after(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.stop()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None, None]:
        """Listen to signals inside; cancelled where `stop` ends everything, then the handlers are as before."""
        with _handlers_kept(self._signals):
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._listen, tasks, name="signals")
                with self._scope:
                    yield
                tasks.cancel_scope.cancel()

    async def _listen(self, tasks: TaskGroup, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.open_signal_receiver(*self._signals) as signals:
            task_status.started()
            async for number in signals:
                if number in SIGNALS:
                    self.stop()
                elif self.on_hangup is not None:
                    tasks.start_soon(self.on_hangup, name="hangup")


def run_loop(main: Callable[[], Awaitable[T]]) -> T:
    """Run on uvloop where it exists."""
    return anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})


@contextmanager
def _handlers_kept(signals: Iterable[signal.Signals]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
