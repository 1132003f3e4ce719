"""Importing the application: what it takes, and what is said when it cannot be."""

import sys
from pathlib import Path

import pytest

from natsched.cli.apps import load_app
from natsched.errors import ConfigError
from tests.cli.running import Cli

GOOD = "from natsched import Registry\nregistry = Registry()\nclass Holder:\n    inner = registry\n"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", sys.path[:])


def _module(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text)
    return name


def _refusal(app: str | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_app(app)
    return caught.value.message


def test_a_registry_in_the_working_folder_is_found(tmp_path: Path) -> None:
    name = _module(tmp_path, "app_good", GOOD)
    assert load_app(f"{name}:registry") is load_app(f"{name}:Holder.inner")


def test_a_module_that_is_missing_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    assert f"there is no module app_nowhere, neither in {tmp_path}" in _refusal("app_nowhere.jobs:registry")


def test_an_attribute_that_is_missing_is_answered_with_the_near_one(tmp_path: Path) -> None:
    name = _module(tmp_path, "app_near", GOOD)
    assert "no registri: did you mean registry?" in _refusal(f"{name}:registri")
    assert f"no x: did you mean {name}:registry?" in _refusal(f"{name}:x")


@pytest.mark.parametrize(
    ("attribute", "kind"), [("number", "of type int"), ("Thing", "the class Thing"), ("os", "a module")]
)
def test_what_is_no_registry_is_named(tmp_path: Path, attribute: str, kind: str) -> None:
    name = _module(tmp_path, f"app_{attribute.lower()}", "import os\nnumber = 3\nclass Thing: ...\n")
    assert f"it is {kind}, not a natsched.Registry" in _refusal(f"{name}:{attribute}")


def test_an_error_in_the_module_shows_its_own_lines_and_none_of_ours(tmp_path: Path) -> None:
    _module(tmp_path, "app_inner", "def go():\n    raise RuntimeError('no database')\n")
    said = _refusal(f"{_module(tmp_path, 'app_outer', 'import app_inner' + chr(10) + 'app_inner.go()')}:registry")
    assert 'app_inner.py", line 2' in said
    assert "RuntimeError: no database" in said
    assert "natsched/cli" not in said
    assert "importlib" not in said


def test_a_module_that_the_application_lacks_is_not_taken_for_the_application(tmp_path: Path) -> None:
    said = _refusal(f"{_module(tmp_path, 'app_lacking', 'import nowhere_to_be_found')}:registry")
    assert 'app_lacking.py", line 1' in said
    assert "No module named 'nowhere_to_be_found'" in said


@pytest.mark.parametrize(
    ("text", "named"),
    [("def (", "SyntaxError"), ("raise SystemExit(3)", "SystemExit: 3"), ("1/0", "ZeroDivisionError")],
)
def test_whatever_the_module_raises_is_told(tmp_path: Path, text: str, named: str) -> None:
    name = _module(tmp_path, f"app_{named.partition(':')[0].lower()}", text)
    assert named in _refusal(f"{name}:registry")


def test_serve_without_an_application_says_what_to_give(cli: Cli) -> None:
    assert "--app" in cli.refused("serve")
    assert "package.module:registry" in cli.refused("serve", "--app", "x")
    assert "app_missing" in cli.refused("serve", "--app", "app_missing:registry")
