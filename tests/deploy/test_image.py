"""`deploy/Dockerfile`: what hadolint says, who runs in it, and what gets into it.

`python -m tests.deploy.image` really builds it, and runs what it built.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.cli.running import CHECKOUT
from tests.deploy.roles import DEPLOY
from tests.deploy.tools import run

FILES = ("Dockerfile", "Dockerfile.app")


def health_command() -> list[str]:
    """Return what the image asks whether it is healthy with."""
    (found,) = re.findall(r"HEALTHCHECK .*?CMD (\[.*?\])\n", (DEPLOY / "Dockerfile").read_text(), re.DOTALL)
    return [str(part) for part in json.loads(found)]


@pytest.mark.parametrize("file", FILES)
def test_hadolint_finds_nothing(file: str, tmp_path: Path) -> None:
    ran = run("hadolint", "--failure-threshold", "style", "--no-color", DEPLOY / file, folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES)
def test_who_runs_is_not_root_and_has_a_number(file: str) -> None:
    users = re.findall(r"^USER (.*)$", (DEPLOY / file).read_text(), re.MULTILINE)
    assert users[-1] == "10001:10001"


def test_the_build_gets_what_the_package_is_made_of_and_nothing_else() -> None:
    lines = [line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    needed |= set(project["project"]["license-files"])
    assert allowed == {Path(path).parts[0] for path in needed}
