"""Replicas as processes of their own, which can be killed, suspended and told to stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import anyio

from tests.cli.running import environment
from tests.e2e.app import JOURNAL, PARENT

T = TypeVar("T")
READY: Final = 40.0
"""Seconds for a start: the first of a checkout compiles everything, and may share its cores."""

_PROBE: Final = 0.02


@overload
async def until(look: Callable[[], Awaitable[T | None]], what: str, limit: float, *, probe: float = _PROBE) -> T: ...
@overload
async def until(look: Callable[[], T | None], what: str, limit: float, *, probe: float = _PROBE) -> T: ...
async def until(look: Callable[[], Any], what: str, limit: float, *, probe: float = _PROBE) -> Any:
    """Look again and again until there is something; the time limit is in seconds."""
    with anyio.move_on_after(limit):
        while True:
            seen = look()
            if isinstance(seen, Awaitable):
                seen = await seen
            if seen:
                return seen
            await anyio.sleep(probe)
    raise AssertionError(f"not within {limit:g} s: {what}")


@dataclass(slots=True)
class Replica:
    """One `natsched serve`; its log is a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def lines(self, action: str | None = None) -> list[dict[str, Any]]:
        """Return what it logged so far, of one action or all."""
        text = self.log.read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()
        parsed = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in parsed if action in (None, line.get("action"))]

    async def said(self, action: str, limit: float = READY) -> dict[str, Any]:
        """Wait until it logs an action; if it ends instead, fail with what it said."""

        def look() -> dict[str, Any] | None:
            if found := self.lines(action):
                return found[0]
            assert self.popen.poll() is None, f"{self.name} ended with {self.popen.returncode}:\n{self.tail()}"
            return None

        return await until(look, f"{self.name} says {action}", limit)

    async def ready(self, limit: float = READY) -> None:
        await self.said("ready", limit)

    def send(self, number: signal.Signals) -> float:
        """Send a signal and return when."""
        self.popen.send_signal(number)
        return time.time()

    def kill(self) -> float:
        """End it as a crash would, and return when; what it did before is done."""
        at = self.send(signal.SIGKILL)
        self.popen.wait(5)
        return at

    def suspend(self) -> float:
        """Freeze it, at the return, and say when."""
        at = self.send(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
        return at

    async def ended(self, limit: float = READY) -> int:
        """Wait for its end and return its exit code."""
        await until(lambda: self.popen.poll() is not None, f"{self.name} ends", limit)
        return self.popen.returncode

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-15:])


@dataclass(slots=True)
class Fleet:
    """Starts replicas that share a server and a journal."""

    folder: Path
    urls: tuple[str, ...]
    variables: Mapping[str, str]
    module: str = "tests.e2e.app"
    replicas: list[Replica] = field(default_factory=list)

    def launch(self, name: str, *, app: str = "registry", **variables: str) -> Replica:
        """Start a replica and return at once."""
        log = self.folder / f"{name}-{len(self.replicas)}.log"
        command = [sys.executable, "-m", "natsched", "serve", "--app", f"{self.module}:{app}"]
        environ = {
            "NATSCHED_NATS__SERVERS": ",".join(self.urls),
            "NATSCHED_NATS__RECONNECT_MAX_DELAY": "1s",
            "NATSCHED_REPLICA__NAME": name,
            "NATSCHED_LOGS__LEVEL": os.environ.get("E2E_LOGS", "info"),
            JOURNAL: str(self.folder / "journal"),
            PARENT: str(os.getpid()),
            **self.variables,
            **variables,
        }
        with log.open("wb") as stderr:
            popen = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment(**environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        replica = Replica(name, popen, log)
        self.replicas.append(replica)
        return replica

    async def start(self, *names: str, app: str = "registry", **variables: str) -> list[Replica]:
        """Start replicas at once and wait until all are ready."""
        started = [self.launch(name, app=app, **variables) for name in names]
        for replica in started:
            await replica.ready()
        return started

    def of(self, pid: int) -> Replica:
        """Return the replica with this process."""
        return next(replica for replica in self.replicas if replica.pid == pid)


@contextmanager
def fleet(folder: Path, *urls: str, module: str = "tests.e2e.app", **variables: str) -> Iterator[Fleet]:
    """Give a fleet that serves the registries of `module`; whatever happens, its processes are killed at the end."""
    running = Fleet(folder, urls, variables, module)
    try:
        yield running
    finally:
        for replica in running.replicas:
            replica.popen.kill()
        for replica in running.replicas:
            replica.popen.wait(5)
