"""The sample workers of `examples/workers` as processes."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.cli.running import CHECKOUT
from tests.e2e.processes import READY, until
from tests.servers import cache_folder

SAMPLES: Final = CHECKOUT / "examples" / "workers"
SUBJECT: Final = "reports.render"
_INSTALL: Final = 300


@dataclass(slots=True)
class Worker:
    """One worker; what it says is a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    async def said(self, text: str, limit: float = READY) -> str:
        """Wait until it says a line that begins with the text, and return that."""

        def look() -> str | None:
            lines = self.log.read_text().split("\n")[:-1]
            assert self.popen.poll() is None, f"a worker ended:\n{self.log.read_text()}"
            return next((line for line in lines if line.startswith(text)), None)

        return await until(look, f"a worker says {text}", limit)

    def has_said(self, text: str) -> bool:
        return text in self.log.read_text()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(5)


@dataclass(slots=True)
class Crew:
    """Starts workers of one language."""

    folder: Path
    url: str
    command: tuple[str, ...]
    workers: list[Worker] = field(default_factory=list)

    async def start(self, number: int = 1) -> list[Worker]:
        """Start so many and wait until they listen."""
        started = [self._launch() for _ in range(number)]
        for worker in started:
            await worker.said("ready")
        return started

    def _launch(self) -> Worker:
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                [*self.command, self.url, SUBJECT],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(Worker(popen, log))
        return self.workers[-1]


@contextmanager
def crew(folder: Path, url: str, language: str) -> Iterator[Crew]:
    """Give a crew; whatever happens, all of its processes are killed at the end."""
    hired = Crew(folder, url, _python() if language == "python" else _javascript(folder))
    try:
        yield hired
    finally:
        for worker in hired.workers:
            worker.kill()


def _python() -> tuple[str, ...]:
    return sys.executable, "-I", str(SAMPLES / "worker.py")


def _javascript(folder: Path) -> tuple[str, ...]:
    """Put the worker next to its package, which is installed once per machine."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        reason = "the sample worker in JavaScript needs node and npm"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    shutil.copy(SAMPLES / "worker.mjs", folder)
    (folder / "node_modules").symlink_to(_installed(npm) / "node_modules")
    return node, str(folder / "worker.mjs")


def _installed(npm: str) -> Path:
    wanted = (SAMPLES / "package.json").read_bytes()
    folder = cache_folder() / f"workers-{sha256(wanted).hexdigest()[:16]}"
    done = folder / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the processes of a test run installs, the others wait
        if not done.exists():
            (folder / "package.json").write_bytes(wanted)
            command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
            subprocess.run(command, cwd=folder, check=True, timeout=_INSTALL)
            done.touch()
    return folder
