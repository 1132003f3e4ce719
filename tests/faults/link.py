"""A TCP connection's way through this process, where it can be cut, one way or both, slowed down and broken off.

It works wherever Python does, needs no rights, and tells apart what packet filters do not: data that is held comes
through later, as after a cable was put back, and nobody has noticed meanwhile.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream

_CHUNK: Final = 64 * 1024
_GONE: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@dataclass(slots=True)
class Way:
    """One direction; each chunk of up to 64 KiB takes `delay` seconds, which limits the bandwidth as well."""

    delay: float = 0.0
    passable: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.passable.set()

    def cut(self) -> None:
        """Hold all data from now on."""
        self.passable = anyio.Event()

    def mend(self) -> None:
        """Let through what was held, and all else, without delay."""
        self.delay = 0.0
        self.passable.set()

    async def carry(self, source: SocketStream, sink: SocketStream) -> None:
        """Carry data until an end of the connection is gone."""
        try:
            while True:
                data = await source.receive(_CHUNK)
                if self.delay:
                    await anyio.sleep(self.delay)
                await self.passable.wait()
                await sink.send(data)
        except _GONE:
            return


@dataclass(slots=True, eq=False)
class Link:
    """The way from one party to a port of a server; `target` is asked for the port at each connection."""

    target: Callable[[], int]
    port: int = 0
    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    _open: set[anyio.CancelScope] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def mend(self) -> None:
        self.up.mend()
        self.down.mend()

    def reset(self) -> None:
        """Break off all connections."""
        for scope in self._open:
            scope.cancel()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Link"]:
        """Take connections while the context is entered."""
        failure: Exception | None = None
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port)
        self.port = listener.extra(SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            try:
                yield self
            except Exception as error:  # noqa: BLE001 - raised below as it is, not in a group for each link
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _serve(self, party: SocketStream) -> None:
        with anyio.CancelScope() as scope:
            self._open.add(scope)
            try:
                async with party:
                    await self._join(party)
            except OSError:
                return  # nobody listens: neither does this
            finally:
                self._open.discard(scope)

    async def _join(self, party: SocketStream) -> None:
        async with await anyio.connect_tcp("127.0.0.1", self.target()) as server, anyio.create_task_group() as tasks:

            async def carry(way: Way, source: SocketStream, sink: SocketStream) -> None:
                await way.carry(source, sink)
                tasks.cancel_scope.cancel()

            tasks.start_soon(carry, self.up, party, server)
            tasks.start_soon(carry, self.down, server, party)


async def open_all(stack: AsyncExitStack, links: Iterable[Link]) -> list[Link]:
    """Open links until the stack is left."""
    return [await stack.enter_async_context(link.opened()) for link in links]
