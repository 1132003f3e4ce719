"""`natsched config`, `schema` and `version`; and where settings come from."""

import json
import os
import tomllib
from pathlib import Path

import jsonschema
import pytest

from natsched.core.documents import encode_job
from tests.cli.running import Cli
from tests.factories import make_job


def test_check_names_the_file_and_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    assert cli.ok("config", "check").out == "valid: defaults, environment and flags; there is no file\n"
    (tmp_path / "natsched.toml").write_text('[scheduler]\nlead = "2s"\n')
    assert cli.json("config", "check") == {"valid": True, "file": "natsched.toml"}
    (tmp_path / "natsched.toml").write_text('[scheduler]\nleed = "2s"\n')
    assert 'did you mean "lead"' in cli.refused("config", "check")


def test_later_sources_win(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lead(*flags: str) -> str:
        return str(cli.json("config", "show", *flags)["scheduler"]["lead"])

    file = tmp_path / "mine.toml"
    file.write_text('[scheduler]\nlead = "2s"\n')
    assert lead("--config", str(file)) == "2s"
    monkeypatch.setenv("NATSCHED_SCHEDULER__LEAD", "3s")
    assert lead("--config", str(file)) == "3s"
    assert lead("--config", str(file), "--set", "scheduler.lead=4s") == "4s"


def test_flags_may_stand_before_the_command(cli: Cli) -> None:
    shown = cli.ok("--json", "--server", "a:1", "config", "show").json
    assert shown["nats"]["servers"] == ["nats://a:1"]
    shown = cli.ok("--server", "a:1", "config", "show", "--server", "b:2", "--json").json
    assert shown["nats"]["servers"] == ["nats://b:2"]


def test_a_setting_that_no_flag_gives_stays_as_set(cli: Cli) -> None:
    """A flag that is not given must not undo --set."""
    shown = cli.json("config", "show", "--set", "nats.servers=nats://a:1,nats://b:2")
    assert shown["nats"]["servers"] == ["nats://a:1", "nats://b:2"]


def test_secrets_are_masked(cli: Cli) -> None:
    for flags in ((), ("--json",)):
        shown = cli.ok("config", "show", "--server", "nats://me:hidden@a:1", *flags).out
        assert "hidden" not in shown
        assert "********" in shown


def test_init_writes_what_check_takes_and_overwrites_only_by_force(cli: Cli, tmp_path: Path) -> None:
    assert cli.ok("config", "init").out == "wrote natsched.toml\n"
    cli.ok("config", "check", "--config", "natsched.toml")
    assert "--force" in cli.refused("config", "init")
    cli.ok("config", "init", "--force")
    assert cli.json("config", "init", str(tmp_path / "b.toml")) == {"written": str(tmp_path / "b.toml")}


def test_reference_is_toml_with_comments(cli: Cli) -> None:
    text = cli.ok("config", "reference").out
    assert tomllib.loads(text)["scheduler"]["stream_name"] == "SCHEDULER"
    assert "# " in text
    assert cli.json("config", "reference") == {"reference": text}


def test_schemas_describe_what_is_stored(cli: Cli) -> None:
    jsonschema.validate(json.loads(encode_job(make_job())), cli.ok("schema", "job").json)
    assert "attempt" in cli.json("schema", "record")["properties"]
    jsonschema.validate({"owner": "a", "job": [{"id": "a", "every": "5s"}]}, cli.ok("schema", "jobs").json)


def test_version_names_what_matters(cli: Cli) -> None:
    found = cli.json("version")
    assert list(found) == ["natsched", "nats-py", "tzdata", "python"]
    assert cli.ok("--version").out == cli.ok("version").out


def test_completion_stays_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_NATSCHED_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "natsched job ens")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert "ensure" in cli().out
    assert os.environ["COMP_CWORD"] == "2"
