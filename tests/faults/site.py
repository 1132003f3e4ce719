"""What is up: servers, replicas as processes, and the links between them."""

import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from natsched.errors import BackendError
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from tests.cli.running import CHECKOUT
from tests.e2e.processes import Fleet, Replica, fleet, until
from tests.faults.app import CLOCK, FOLDER
from tests.faults.link import Link, open_all
from tests.servers import free_ports, options_for, wait_for_cluster

STREAMS: Final = ("SCHEDULER", "KV_SCHEDULER_JOBS", "KV_SCHEDULER_EXECUTIONS", "KV_SCHEDULER_LOCKS")
SETTINGS: Final = {
    "NATSCHED_SCHEDULER__RECONCILER_INTERVAL": "1s",
    "NATSCHED_SCHEDULER__RECONCILER_GRACE_PERIOD": "3s",
    "NATSCHED_TARGETS__SHELL__ENABLED": "true",
}
"""A sweep that comes soon: what only it repairs is late by no more than the bounds allow."""

CLUSTER: Final = """
cluster {{
  name: faults, listen: "127.0.0.1:{port}", routes: [{routes}]
  no_advertise: true, advertise: "127.0.0.1:1", pool_size: -1
}}
"""
"""Servers and clients that only know the links: addresses learned from others would lead around them."""

_PROBE: Final = 0.1
_BACK: Final = 40.0


@dataclass(slots=True)
class Site:
    """Servers, and replicas by name with a link each to every server."""

    folder: Path
    nodes: list[EmbeddedServer]
    fleet: Fleet
    client: list[Link] = field(default_factory=list)
    links: dict[str, list[Link]] = field(default_factory=dict)
    routes: dict[tuple[int, int], Link] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)
    special: dict[str, dict[str, str]] = field(default_factory=dict)
    older: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)

    @property
    def journals(self) -> Path:
        return self.folder / "journals"

    @property
    def copies(self) -> int:
        return len(self.nodes)

    def identity(self, name: str) -> str:
        """Name the process that a replica is now."""
        return str(self.replicas[name].pid)

    async def start(self, name: str) -> None:
        """Start a replica and wait until it is ready; one that ends instead, for want of a server, starts again."""
        variables = {
            "NATSCHED_NATS__SERVERS": ",".join(link.url for link in self.links[name]),
            "NATSCHED_SCHEDULER__REPLICAS": str(self.copies),
            FOLDER: str(self.journals),
            CLOCK: str(time.time() - time.monotonic()),
            **SETTINGS,
            **self.special.get(name, {}),
        }
        while True:
            replica = self.replicas[name] = self.fleet.launch(name, **variables)
            while replica.popen.poll() is None:
                if replica.lines("ready"):
                    return
                await anyio.sleep(_PROBE)
            self.gone.append(f"{name} ended at its start with {replica.popen.returncode}: {replica.tail()}")
            await anyio.sleep(1)

    def begin_with(self, older: Path) -> None:
        """Have all replicas start as the version whose tree that is, until each is upgraded."""
        for name in self.links:
            self.older.add(name)
            self.special.setdefault(name, {})["PYTHONPATH"] = os.pathsep.join((str(older), str(CHECKOUT)))

    def upgrade(self, name: str) -> None:
        """Have a replica start as this version from now on."""
        if name in self.older:
            self.older.remove(name)
            del self.special[name]["PYTHONPATH"]

    def ended(self) -> list[str]:
        """Tell the replicas that are not there, though nobody ended them."""
        return [
            f"{name} ended by itself with {replica.popen.returncode}:\n{replica.tail()}"
            for name, replica in self.replicas.items()
            if replica.popen.poll() is not None
        ]

    async def leader(self, stream: str = STREAMS[0]) -> EmbeddedServer | None:
        """Return the node that leads a stream; None while none does."""
        try:
            async with connect(options_for(*self.running())) as connection:
                state = await call(connection, f"STREAM.INFO.{stream}", timeout=1)
        except BackendError:
            return None
        name = state.get("cluster", {}).get("leader")
        return next((node for node in self.nodes if node.options.name == name), self.nodes[0])

    def running(self) -> list[EmbeddedServer]:
        return [node for node in self.nodes if node.running]

    async def answering(self) -> None:
        """Wait until every node that runs answers for all streams and knows their leaders: then an outage is over."""
        for node in self.running():
            await until(partial(self._answers, node), f"{node.options.name} answers", _BACK, probe=_PROBE)

    async def whole(self) -> None:
        """Wait until all nodes run and have everything: before that another death would be one too many."""
        if self.copies > 1:
            await until(self._is_whole, "all servers have everything", _BACK, probe=_PROBE)

    async def _answers(self, node: EmbeddedServer) -> bool:
        try:
            async with connect(options_for(node)) as connection:
                for stream in STREAMS:
                    state = await call(connection, f"STREAM.INFO.{stream}", timeout=0.5)
                    if self.copies > 1 and not state["cluster"].get("leader"):
                        return False
        except BackendError:
            return False
        return True

    async def _is_whole(self) -> bool:
        try:
            async with connect(options_for(*self.running())) as connection:
                for stream in STREAMS:
                    state = await call(connection, f"STREAM.INFO.{stream}", timeout=1)
                    copies = state["cluster"].get("replicas", [])
                    if len(copies) < self.copies - 1 or not all(_is_current(copy) for copy in copies):
                        return False
        except BackendError:
            return False
        return True


@asynccontextmanager
async def site(folder: Path, *, servers: int, replicas: list[str]) -> AsyncIterator[Site]:
    """Run servers, links and, once `Site.start` is called, replicas."""
    (folder / "journals").mkdir(parents=True)
    async with AsyncExitStack() as stack:
        ports = free_ports(servers)
        pairs = [(one, other) for one in range(servers) for other in range(servers) if one != other]
        routes = {(one, other): Link(partial(int, ports[other])) for one, other in pairs}
        await open_all(stack, routes.values())
        nodes = await _nodes(stack, folder, ports, routes)
        up = Site(folder, nodes, stack.enter_context(fleet(folder, module="tests.faults.app")), routes=routes)
        up.client = await open_all(stack, _links(nodes))
        for name in replicas:
            up.links[name] = await open_all(stack, _links(nodes))
        yield up


async def _nodes(
    stack: AsyncExitStack, folder: Path, ports: Sequence[int], routes: Mapping[tuple[int, int], Link]
) -> list[EmbeddedServer]:
    nodes = []
    for index, port in enumerate(ports):
        own = ", ".join(f'"{link.url}"' for (one, _), link in routes.items() if one == index)
        extra = CLUSTER.format(port=port, routes=own) if own else ""
        name = f"node{index}"
        nodes.append(EmbeddedServer(ServerOptions(store=folder / name, name=name, extra=extra, stop_timeout=5)))
    for node in nodes:
        stack.callback(node.stop)
        node.launch()
    for node in nodes:
        await anyio.to_thread.run_sync(node.wait_ready)
    if len(nodes) > 1:
        await wait_for_cluster(nodes)
    return nodes


def _links(nodes: list[EmbeddedServer]) -> list[Link]:
    return [Link(partial(getattr, node, "port")) for node in nodes]


def _is_current(copy: dict[str, Any]) -> bool:
    return bool(copy["current"]) and not copy.get("offline")
