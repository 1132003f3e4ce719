"""Running a command: a process group of its own, its output cut to size, an end that always comes."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, Process
from pydantic import JsonValue

from natsched.core.targets import Shell
from natsched.targets.context import Context
from natsched.targets.options import TargetOptions
from natsched.targets.signals import Abort, TargetFailed

KEPT: Final = 64 * 1024
"""Bytes of each of the two streams that are kept: the last ones, which tell how it ended."""

_CHUNK: Final = 64 * 1024
_TAIL: Final = 500
_NOT_EXECUTABLE: Final = (FileNotFoundError, PermissionError, NotADirectoryError)


class CommandFailed(TargetFailed):
    """The command ended with another status than 0, or by a signal."""


@dataclass(slots=True)
class Output:
    """What a stream said last."""

    data: bytearray = field(default_factory=bytearray)
    cut: int = 0

    def add(self, chunk: bytes) -> None:
        self.data += chunk
        if len(self.data) > KEPT:
            self.cut += len(self.data) - KEPT
            del self.data[:-KEPT]

    def text(self) -> str:
        """Return it as text, with a mark where the beginning was cut off."""
        text = self.data.decode(errors="replace")
        return f"[{self.cut:,} bytes cut off]\n{text}" if self.cut else text


class ShellRunner:
    """One command, callable as a handler is."""

    def __init__(self, target: Shell, options: TargetOptions) -> None:
        self._target = target
        self._options = options

    async def __call__(self, context: Context) -> JsonValue:
        """Run it to its end and return status and output; another status than 0 is `CommandFailed`.

        Where the run is cancelled the whole process group gets SIGTERM, and SIGKILL after the grace.
        """
        target = self._target
        command: str | tuple[str, ...] = target.argv[0] if target.shell else target.argv
        try:
            process = await anyio.open_process(
                command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=target.cwd,
                env=self._environment(context),
                start_new_session=True,
            )
        except _NOT_EXECUTABLE as error:
            raise Abort(f"{target.argv[0]!r} cannot be run: {error.strerror}") from error
        out, err = Output(), Output()
        try:
            if process.stdin is not None:
                await process.stdin.aclose()
            async with anyio.create_task_group() as reading:
                reading.start_soon(_read, process.stdout, out.add)
                reading.start_soon(_read, process.stderr, err.add)
                status = await process.wait()
                _signal(process, signal.SIGKILL)  # what it left behind would keep its output open
        finally:
            await _end(process, target.grace)
        if status != 0:
            raise CommandFailed(_ending(status, err.text() or out.text()))
        return {"status": status, "stdout": out.text(), "stderr": err.text()}

    def _environment(self, context: Context) -> Mapping[str, str]:
        own = {name: os.environ[name] for name in self._options.environment if name in os.environ}
        told = {
            "NATSCHED_JOB": context.job_id,
            "NATSCHED_EXECUTION": context.execution_id,
            "NATSCHED_ATTEMPT": str(context.attempt),
            "NATSCHED_DUE": context.due.isoformat(),
        }
        return {**own, **told, **self._target.env}


async def _read(stream: ByteReceiveStream | None, add: Callable[[bytes], None]) -> None:
    if stream is None:
        return
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            add(await stream.receive(_CHUNK))


async def _end(process: Process, grace: float) -> None:
    """Ask the process group to end, and make it after the grace; this takes its time though the run is cancelled."""
    runs = process.returncode is None
    try:
        if runs:
            _signal(process, signal.SIGTERM)
            with anyio.move_on_after(grace, shield=True):
                await process.wait()
    finally:
        if runs:
            _signal(process, signal.SIGKILL)  # also where the wait itself is cancelled
        with anyio.CancelScope(shield=True):
            await process.aclose()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _ending(status: int, said: str) -> str:
    how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    last = said.strip()[-_TAIL:]
    return f"{how}: {last}" if last else how
