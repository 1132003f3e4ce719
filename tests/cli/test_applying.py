"""`natsched apply`, `export` and `import`: the plan first, then just that."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer

from natsched.cli import applying
from natsched.memory import MemoryBackend
from tests.cli.running import Cli

pytestmark = pytest.mark.usefixtures("stored")

_FILE = """
owner = "billing"
[[job]]
id = "billing.daily"
cron = "@daily"
handler = "h"
[[job]]
id = "billing.report"
after = ["billing.daily"]
[[job]]
id = "billing.hook"
every = "1h"
target = { kind = "http", url = "https://host/x", headers = { Authorization = "hush" } }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.toml"
    path.write_text(_FILE, encoding="utf-8")
    return path


def edit(file: Path, **replaced: str) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def test_a_file_is_shown_applied_and_then_as_it_should_be(cli: Cli, file: Path) -> None:
    shown = cli.ok("apply", str(file), "--dry-run").out
    assert shown.splitlines() == [
        "+ billing.daily  cron @daily UTC  h",
        "+ billing.hook  every 1h  http",
        "+ billing.report  after billing.daily",
        "3 to create, 0 to change, 0 to remove, 0 unchanged",
    ]
    assert cli.json("job", "list") == []
    assert cli.ok("apply", str(file), "--yes").out == f"{shown}3 created, 0 updated, 0 removed\n"
    assert cli.ok("apply", str(file), "--yes").out == "0 to create, 0 to change, 0 to remove, 3 unchanged\n"
    assert cli.json("job", "show", "billing.daily")["owner"] == "billing"
    assert "owner" in cli.ok("job", "show", "billing.daily").out


def test_changes_are_shown_field_by_field_and_secrets_are_not(cli: Cli, file: Path) -> None:
    cli.ok("apply", str(file), "--yes")
    edit(file, **{'"1h"': '"2h"', '"hush"': '"other"', 'handler = "h"': 'handler = "h"\ntimeout = "5s"'})
    ran = cli.ok("apply", str(file), "--yes")
    assert ran.out.splitlines() == [
        "~ billing.daily",
        "    timeout: - -> 5.0",
        "~ billing.hook",
        "    every: 3600.0 -> 7200.0",
        '    target.headers.Authorization: "********" -> "********"',
        "0 to create, 2 to change, 0 to remove, 1 unchanged",
        "0 created, 2 updated, 0 removed",
    ]
    assert cli.json("job", "show", "billing.hook")["target"]["headers"] == {"Authorization": "other"}


def test_pruning_removes_only_what_the_file_owns(cli: Cli, file: Path) -> None:
    cli.ok("apply", str(file), "--yes")
    cli.ok("job", "ensure", "billing.other", "--every", "1h")
    cli.ok("job", "ensure", "billing.theirs", "--every", "1h", "--owner", "them")
    file.write_text(
        'owner = "billing"\n[[job]]\nid = "billing.daily"\ncron = "@daily"\nhandler = "h"\n', encoding="utf-8"
    )
    assert cli.json("apply", str(file), "--dry-run")["pruned"] == []
    done = cli.json("apply", str(file), "--prune", "--yes")
    assert done["pruned"] == ["billing.hook", "billing.report"]
    left = [job["id"] for job in cli.json("job", "list")]
    assert left == ["billing.daily", "billing.other", "billing.theirs"]
    file.write_text("", encoding="utf-8")
    assert "write owner =" in cli.refused("apply", str(file), "--prune", "--yes")


def test_how_far_it_is_is_told(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(applying, "progress_bar", lambda *_: nullcontext(lambda *how: told.append(how)))
    cli.ok("apply", str(file), "--yes")
    file.write_text('owner = "billing"\n[[job]]\nid = "billing.daily"\ncron = "@hourly"\n', encoding="utf-8")
    cli.ok("apply", str(file), "--prune", "--yes")
    assert told == [(1, 3), (2, 3), (3, 3), (1, 3), (2, 3), (3, 3)]


def test_a_job_of_another_owner_is_refused_with_both_named(cli: Cli, file: Path) -> None:
    cli.ok("job", "ensure", "billing.daily", "--every", "1h", "--owner", "them")
    said = cli.refused("apply", str(file), "--yes", code=5)
    assert said.startswith('billing.daily belongs to "them", and ')
    assert 'is of "billing"' in said
    cli.ok("apply", str(file), "--yes", "--take-over")
    assert cli.json("job", "show", "billing.daily")["owner"] == "billing"


def test_the_exit_code_tells_of_changes_only_where_it_is_asked_for(cli: Cli, file: Path) -> None:
    assert cli("apply", str(file), "--dry-run").code == 0
    assert cli("apply", str(file), "--dry-run", "--detailed-exitcode").code == 6
    assert cli("apply", str(file), "--yes", "--detailed-exitcode").code == 6
    assert cli("apply", str(file), "--dry-run", "--detailed-exitcode").code == 0


def test_without_a_terminal_it_takes_a_yes(cli: Cli, file: Path) -> None:
    assert "say --yes" in cli.refused("apply", str(file))


@pytest.mark.parametrize(("answer", "code", "jobs"), [(True, 0, 3), (False, 1, 0)])
def test_on_a_terminal_it_asks(
    cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int, jobs: int
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: answer)
    assert cli("apply", str(file)).code == code
    assert len(cli.json("job", "list")) == jobs


def test_what_changes_between_plan_and_answer_is_left_and_told(
    cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch, stored: MemoryBackend
) -> None:
    cli.ok("apply", str(file), "--yes")
    edit(file, **{'"1h"': '"2h"', '"@daily"': '"@hourly"'})
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def meanwhile(*_: Any, **__: Any) -> bool:
        message = stored.streams.jobs.last("billing.daily")
        assert message is not None
        document = json.loads(message.data)
        document["spec"]["handler"] = "theirs"
        stored.streams.jobs.put("billing.daily", json.dumps(document).encode(), expected=message.seq)
        return True

    monkeypatch.setattr(typer, "confirm", meanwhile)
    ran = cli("apply", str(file))
    assert ran.code == 5
    assert "billing.daily was changed meanwhile: handler: apply again" in ran.err
    assert cli.json("job", "show", "billing.daily")["schedule"]["expression"] == "@daily"
    assert cli.json("job", "show", "billing.hook")["schedule"]["period"] == 7200


def test_applying_what_was_exported_changes_nothing(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli.ok("apply", str(file), "--yes")
    cli.ok("job", "ensure", "other", "--every", "1h", "--payload", '{"a": null}')
    everything, some = tmp_path / "all.toml", tmp_path / "some.toml"
    assert cli.ok("export", "-o", str(everything)).out == ""
    some.write_text(cli.ok("export", "billing").out, encoding="utf-8")
    assert len(cli.json("apply", str(everything), "--dry-run")["unchanged"]) == 4
    shown = cli.json("apply", str(some), "--dry-run")
    assert shown["unchanged"] == ["billing.daily", "billing.hook", "billing.report"]
    assert not shown["created"] + shown["updated"]
    cli.ok("job", "pause", "other")
    assert cli("export", "other").err == "other is paused, which a file does not say\n"
    assert "by -o" in cli("export", "jobs.toml").err


def test_a_crontab_becomes_a_file_that_can_be_applied(cli: Cli, tmp_path: Path) -> None:
    crontab, out = tmp_path / "crontab", tmp_path / "jobs.toml"
    crontab.write_text("# daily\n0 3 * * * /bin/backup\n@reboot x\n", encoding="utf-8")
    ran = cli("import", "crontab", str(crontab), "-o", str(out), "--owner", "host", "--timezone", "Europe/Berlin")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "line 3, '@reboot x': not taken, nothing runs because a machine starts",
        "1 jobs, their times are of Europe/Berlin; 1 remarks",
    ]
    assert cli.json("apply", str(out), "--yes")["created"] == ["crontab.backup"]
    assert cli.json("import", "crontab", str(crontab))["report"][0]["line"] == 3
    assert cli.refused("import", "crontab", str(crontab), "--timezone", "Nowhere").startswith("--timezone: ")
