"""`natsched backup` and `natsched restore`."""

import stat
from pathlib import Path

import pytest

from tests.cli.running import Cli

pytestmark = pytest.mark.usefixtures("stored")


def test_what_was_removed_comes_back_from_a_backup(cli: Cli, tmp_path: Path) -> None:
    saved = tmp_path / "saved.gz"
    cli.ok("job", "ensure", "a", "--every", "1h", "--owner", "o")
    cli.ok("job", "ensure", "b", "--every", "1h")
    cli.ok("job", "pause", "b", "--reason", "stock-taking")
    assert cli.ok("backup", str(saved)).out == f"2 jobs and 0 records in {saved}\n"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert "a, b: there already; `--overwrite`" in cli.refused("restore", str(saved), code=5)
    before = {job: cli.json("job", "show", job)["document"] for job in "ab"}
    cli.ok("job", "remove", "b", "--yes")
    assert "a: there already" in cli.refused("restore", str(saved), code=5)
    cli.ok("job", "remove", "a", "--yes")
    assert cli.ok("restore", str(saved), "--dry-run").out.startswith("2 jobs would be created, 0 would be updated")
    assert cli.json("job", "list") == []
    done = cli.json("restore", str(saved))
    assert (done["created"], done["left"], done["dry_run"]) == (2, [], False)
    for job, document in before.items():
        after = cli.json("job", "show", job)["document"]
        assert (after["uid"], after["spec"]) == (document["uid"], document["spec"])
        assert after["status"]["plan"].get("due") == document["status"]["plan"].get("due")
    assert cli.json("restore", str(saved), "--overwrite")["unchanged"] == 2


def test_files_that_cannot_be_written_or_read_are_named(cli: Cli, tmp_path: Path) -> None:
    assert "cannot be written: No such file" in cli.refused("backup", str(tmp_path / "gone" / "x"))
    assert "cannot be written" in cli.refused("backup", "")
    assert "cannot be read: No such file" in cli.refused("restore", "gone", code=1)
    (tmp_path / "other").write_text("hello", encoding="utf-8")
    assert "is no backup" in cli.refused("restore", str(tmp_path / "other"), code=1)
    assert not list(tmp_path.glob("*.part"))
