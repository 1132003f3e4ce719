"""Running `natsched`: in this process, or as one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from natsched.cli.main import run

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """The command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        code = run(arguments)
        captured = self._capsys.readouterr()
        return Ran(code=code, out=captured.out, err=captured.err)

    def ok(self, *arguments: str) -> Ran:
        """Run a command that has to succeed, quietly on stderr."""
        ran = self(*arguments)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran

    def json(self, *arguments: str) -> Any:
        """Run a command that has to succeed and return the JSON it wrote."""
        return self.ok(*arguments, "--json").json

    def refused(self, *arguments: str, code: int = 2) -> str:
        """Run a command that has to fail with this code, in one line, and return that."""
        ran = self(*arguments)
        assert (ran.code, ran.out) == (code, ""), ran
        assert ran.err.startswith("error: "), ran.err
        return ran.err.removeprefix("error: ").rstrip("\n")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with these variables as the only settings, and no HTTP unless they say so."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("NATSCHED_")}
    paths = os.pathsep.join(path for path in (str(CHECKOUT), os.environ.get("PYTHONPATH", "")) if path)
    return {**kept, "PYTHONPATH": paths, "NATSCHED_HTTP__ENABLED": "false", **variables}


def finished(folder: Path, *arguments: str, limit: float = 30, **variables: str) -> Ran:
    """Run a command as a process of its own, to its end."""
    ended = subprocess.run(
        [sys.executable, "-m", "natsched", *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    return Ran(code=ended.returncode, out=ended.stdout, err=ended.stderr)


class Process:
    """A command that goes on until it is told to stop."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.seen: list[str] = []

    def until(self, text: str, *, stderr: bool = False) -> str:
        """Read lines up to one that has the text; the test's time limit ends a wait in vain."""
        stream = self.popen.stderr if stderr else self.popen.stdout
        assert stream is not None
        for line in stream:
            self.seen.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in {self.seen}")

    def end(self, signal: int, limit: float = 15) -> Ran:
        """Send a signal and wait for the end."""
        self.popen.send_signal(signal)
        out, err = self.popen.communicate(timeout=limit)
        return Ran(code=self.popen.returncode, out=out, err=err)


@contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[Process]:
    """Start a command as a process of its own; it is killed if it is still there at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "natsched", *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as popen:
        try:
            yield Process(popen)
        finally:
            popen.kill()
