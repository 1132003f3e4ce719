"""Plugins and files of jobs as a replica finds them when it starts: packages that are really installed."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Cli, started

_PLUGIN = """
from natsched import Interval, Registry

registry = Registry()

@registry.job("{job}", Interval(milliseconds=200))
async def tick(ctx):
    print("ran", ctx.job_id, flush=True)

def fill(registry):
    @registry.handler("filled")
    async def filled(ctx): pass

def make(unused=None):
    return registry

def broken():
    raise OSError("no disk")
"""


def install(site: Path, name: str, entry: str, *, job: str = "plugged.tick", version: str = "1.2") -> None:
    """Install a package as pip would leave it: a module and its metadata."""
    module = name.replace("-", "_")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(_PLUGIN.format(job=job), encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[natsched.jobs]\n{entry} = {module}:{entry}\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder of installed packages, for this process and those that it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in {path.stem for path in folder.parent.rglob("*.py")} - before:
        sys.modules.pop(name, None)


def refused(cli: Cli, *arguments: str) -> str:
    """Run a replica that has to refuse to start, and return why."""
    return cli.refused("serve", "--set", "mode=local", *arguments)


def test_a_replica_runs_the_jobs_of_an_installed_package_and_of_a_file(tmp_path: Path, site: Path) -> None:
    install(site, "natsched-acme", "registry")
    install(site, "other", "fill")
    (tmp_path / "jobs.toml").write_text('[[job]]\nid = "of.file"\nevery = "200ms"\nhandler = "plugged.tick"\n')
    with started(tmp_path, "serve", "--set", "mode=local", "--set", "jobs.files=jobs.toml") as process:
        loaded = [json.loads(process.until("plugin_loaded", stderr=True)) for _ in range(2)]
        applied = json.loads(process.until("files_applied", stderr=True))
        for job in ("plugged.tick", "of.file"):
            process.until(f"ran {job}")
        ended = process.end(signal.SIGTERM)
    assert ended.code == 0
    about = [(one["package"], one["version"], one["plugin"], one["handlers"], one["jobs"]) for one in loaded]
    assert about == [
        ("natsched-acme", "1.2", "registry", ["plugged.tick"], ["plugged.tick"]),
        ("other", "1.2", "fill", ["filled"], []),
    ]
    assert (applied["created"], applied["files"]) == (1, ["jobs.toml"])


@pytest.mark.nats
def test_dev_runs_the_jobs_of_an_installed_package_beside_its_own(tmp_path: Path, site: Path) -> None:
    install(site, "acme", "registry")
    with started(tmp_path, "dev", "--json", "--set", "http.enabled=false") as process:
        ready = json.loads(process.until('"event": "ready"'))
        process.until("ran plugged.tick")
        process.until('"samples.tick"')
        assert process.end(signal.SIGINT).code == 0
    assert ready["plugins"] == ["acme 1.2 (registry)"]


def test_two_packages_with_one_job_are_refused_and_both_named(cli: Cli, site: Path) -> None:
    install(site, "acme", "registry")
    install(site, "zeta", "make", version="3")
    said = refused(cli)
    assert "both acme 1.2 (registry) and zeta 3 (make) have a handler named 'plugged.tick'" in said
    assert [one["package"] for one in cli.json("plugins", "--set", "plugins.only=zeta")] == ["zeta"]
    assert "no plugin 'gone' is installed; there is acme, zeta" in refused(cli, "--set", "plugins.only=gone")
    assert cli.json("plugins", "--set", "plugins.enabled=false") == []
    assert "1.2" in cli.ok("plugins").out


def test_a_plugin_that_fails_and_a_bad_file_are_told_at_the_start(cli: Cli, tmp_path: Path, site: Path) -> None:
    install(site, "acme", "broken")
    assert "The plugin broken of acme (acme:broken) cannot be loaded: OSError: no disk." in refused(cli)
    (tmp_path / "own.py").write_text(_PLUGIN.format(job="own.tick"))
    app = ("--app", "own:registry", "--set", "plugins.enabled=false", "--set", "jobs.files=jobs.toml")
    (tmp_path / "jobs.toml").write_text('[[job]]\nid = "own.tick"\nevery = "1s"\n')
    assert "jobs.toml: the application declares own.tick, too" in refused(cli, *app)
    (tmp_path / "jobs.toml").write_text('[[job]]\nid = "a"\nevery = "soon"\n')
    said = refused(cli, *app)
    assert "The jobs in jobs.toml are not valid" in said
    assert 'job 1 "a", every: "soon" is not a duration' in said
