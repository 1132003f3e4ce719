"""Commands: their output, their environment, and an end that always comes."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from natsched.core.executions import ExecutionStatus
from natsched.core.targets import Shell
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.options import TargetOptions
from natsched.targets.shell import KEPT, ShellRunner
from tests.e2e.processes import until
from tests.factories import NOON

pytestmark = pytest.mark.anyio
DEADLINE = 20


def context(**fields: Any) -> Context:
    told: dict[str, Any] = {"job_id": "a.b", "execution_id": "U-1", "due": NOON, "started_at": NOON, "attempt": 2}
    return Context(**{**told, "metadata": {}, "payload": None, **fields})


async def ended(*argv: str, limit: float | None = DEADLINE, **options: Any) -> Ended:
    """Run a command as a replica does."""
    runner = ShellRunner(Shell(argv=argv, **options), TargetOptions(shell=True))
    return await Caller(threads=1).call(runner, context(), timeout=limit)


async def result(*argv: str, **options: Any) -> Any:
    found = await ended(*argv, **options)
    assert found.status is ExecutionStatus.OK, found
    return found.result


async def gone(pid: int) -> None:
    """Wait until a process is no more, or only a zombie that nobody has reaped."""
    await until(lambda: not _lives(pid), f"{pid} is gone", DEADLINE)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_both_streams_are_kept_with_the_status() -> None:
    said = await result("echo out; echo err >&2", shell=True)
    assert said == {"status": 0, "stdout": "out\n", "stderr": "err\n"}


async def test_an_argument_is_no_syntax() -> None:
    assert (await result("echo", "$HOME; `ls`"))["stdout"] == "$HOME; `ls`\n"


async def test_another_status_fails_and_says_what_was_said_last() -> None:
    found = await ended("echo first; echo why >&2; exit 3", shell=True)
    assert (found.status, found.error) == (ExecutionStatus.FAILED, "CommandFailed: ended with status 3: why")
    assert "CommandFailed" in found.failure.names


async def test_a_command_that_a_signal_ends_names_it() -> None:
    assert (await ended("kill -9 $$", shell=True)).error == "CommandFailed: ended by SIGKILL"


async def test_what_cannot_be_run_is_given_up_at_once() -> None:
    found = await ended("/no/such/program")
    assert found.error == "Abort: '/no/such/program' cannot be run: No such file or directory"
    assert found.failure.again is False
    assert (await ended("ls", cwd="/no/such/folder")).failure.again is False


async def test_long_output_is_cut_at_its_beginning_and_marked() -> None:
    said = await result(sys.executable, "-c", f"print('x' * {3 * KEPT}, end='end')")
    mark, _, kept = said["stdout"].partition("\n")
    assert mark == f"[{2 * KEPT + 3:,} bytes cut off]"
    assert (len(kept), kept[-4:]) == (KEPT, "xend")


async def test_a_command_sees_what_it_is_told_and_what_is_let_through(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    said = await result("env; pwd; cat", shell=True, env={"OWN": "1"}, cwd=str(tmp_path))
    lines = said["stdout"].splitlines()
    assert {"OWN=1", "NATSCHED_JOB=a.b", "NATSCHED_EXECUTION=U-1", "NATSCHED_ATTEMPT=2"} <= set(lines)
    assert f"NATSCHED_DUE={NOON.isoformat()}" in lines
    assert f"PATH={os.environ['PATH']}" in lines
    assert lines[-1] == str(tmp_path)
    assert "s3cret" not in said["stdout"]


async def test_at_its_timeout_the_whole_process_group_is_told_to_end(tmp_path: Path) -> None:
    script = "trap 'echo told > told; exit' TERM; sleep 60 & echo $! > child; wait"
    found = await ended(script, shell=True, cwd=str(tmp_path), limit=0.5)
    assert found.status is ExecutionStatus.TIMED_OUT
    assert (tmp_path / "told").read_text() == "told\n"
    await gone(int((tmp_path / "child").read_text()))


async def test_who_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    script = "trap '' TERM; echo $$ > pid; while true; do sleep 0.1; done"
    started = anyio.current_time()
    found = await ended(script, shell=True, cwd=str(tmp_path), limit=0.5, grace=0.5)
    assert found.status is ExecutionStatus.TIMED_OUT
    assert 0.9 < anyio.current_time() - started < DEADLINE
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_child_that_is_left_behind_does_not_hold_up_the_end(tmp_path: Path) -> None:
    started = anyio.current_time()
    assert (await result("sleep 60 & echo $! > child", shell=True, cwd=str(tmp_path)))["status"] == 0
    assert anyio.current_time() - started < DEADLINE / 2
    await gone(int((tmp_path / "child").read_text()))


async def test_a_cancelled_run_leaves_no_process_even_if_it_is_cancelled_again(tmp_path: Path) -> None:
    runner = ShellRunner(
        Shell(argv=("trap '' TERM; echo $$ > pid; while true; do sleep 0.1; done",), shell=True, cwd=str(tmp_path)),
        TargetOptions(shell=True),
    )
    task = asyncio.ensure_future(runner(context()))
    pid = int(await until(lambda: _content(tmp_path / "pid"), "it runs", DEADLINE))
    task.cancel()
    await anyio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(pid)


def _content(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
