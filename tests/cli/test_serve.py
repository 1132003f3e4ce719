"""`natsched serve` as a process, on memory: ready, logs, signals."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.running import Process, Ran, environment, finished, started

APP = """
import anyio
from natsched import Interval, Registry
registry = Registry()

@registry.job("app.tick", Interval(milliseconds=100))
async def tick(ctx): pass

@registry.job("app.broken", Interval(milliseconds=300))
async def broken(ctx): raise ValueError("boom")

@registry.job("app.long", Interval(milliseconds=100))
async def long(ctx):
    print("long begins", flush=True)
    await anyio.sleep(SECONDS)
    print("long ends", flush=True)
"""


@contextmanager
def _serving(folder: Path, *arguments: str, seconds: float = 1) -> Iterator[Process]:
    (folder / "app_served.py").write_text(APP.replace("SECONDS", str(seconds)))
    app = ("--app", "app_served:registry", "--set", "mode=local")
    with started(folder, "serve", *app, *arguments) as process:
        yield process


def _actions(ran: Ran, *seen: str) -> list[str]:
    return [json.loads(line)["action"] for line in [*seen, *ran.err.splitlines()]]


def test_ready_is_told_in_a_line(tmp_path: Path) -> None:
    with _serving(tmp_path) as process:
        ready = json.loads(process.until('"ready"', stderr=True))
        process.end(signal.SIGTERM)
    assert (ready["server"], ready["queues"], ready["declared"]) == ("memory", {"default": 1000}, 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_runs_end(tmp_path: Path, number: signal.Signals) -> None:
    with _serving(tmp_path) as process:
        process.until("long begins")
        ran = process.end(number)
    assert ran.code == 0
    assert "long ends" in ran.out
    actions = _actions(ran)
    assert actions[-1] == "stopped"
    assert "stopping" in actions


def test_the_second_signal_ends_them_at_once(tmp_path: Path) -> None:
    with _serving(tmp_path, seconds=60) as process:
        process.until("long begins")
        process.popen.send_signal(signal.SIGTERM)
        process.until('"stopping"', stderr=True)
        ran = process.end(signal.SIGTERM, limit=4)
    assert ran.code == 0
    assert "long ends" not in ran.out
    assert '"status": "interrupted"' in ran.err


def test_probes_are_heard_before_it_is_ready_and_a_signal_ends_it_at_once(tmp_path: Path) -> None:
    http = ("--set", "http.enabled=true", "--set", "http.port=0")
    with _serving(tmp_path, "--set", "mode=nats", "--server", "127.0.0.1:9", *http) as process:
        url = json.loads(process.until('"http_ready"', stderr=True))["url"]
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 503
        ran = process.end(signal.SIGTERM, limit=4)
    assert ran.code == 0
    assert "stopped before it was ready" in ran.err


def test_a_failing_run_is_a_warning_with_its_traceback(tmp_path: Path) -> None:
    with _serving(tmp_path) as process:
        line = json.loads(process.until('"run failed"', stderr=True))
        process.end(signal.SIGTERM)
    assert (line["level"], line["job"], line["error"]) == ("warning", "app.broken", "ValueError: boom")
    assert 'app_served.py", line' in line["exception"]


def test_console_logs_for_those_who_ask(tmp_path: Path) -> None:
    with _serving(tmp_path, "--set", "logs.format=console") as process:
        assert "action=ready" in process.until("action=ready", stderr=True)
        process.end(signal.SIGTERM)


def test_nothing_of_http_is_loaded_for_other_commands(tmp_path: Path) -> None:
    look = "import sys, natsched.cli.main; print({'starlette', 'uvicorn', 'prometheus_client'} & sys.modules.keys())"
    ran = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, env=environment(), capture_output=True, check=True
    )
    assert ran.stdout == b"set()\n"


def test_no_server_ends_in_3_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "app_served.py").write_text(APP.replace("SECONDS", "1"))
    flags = (
        "--app",
        "app_served:registry",
        "--server",
        "127.0.0.1:9",
        "--set",
        "scheduler.jetstream_ready_timeout=1s",
    )
    ran = finished(tmp_path, "serve", *flags)
    assert ran.code == 3
    assert ran.err.splitlines()[-1].startswith("error: No NATS server answered at nats://127.0.0.1:9")
    assert "Traceback" not in ran.err
