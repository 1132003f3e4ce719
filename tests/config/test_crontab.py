"""Crontabs: what becomes of each line, and that nothing of one is dropped without a word."""

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.config import read_job
from natsched.config.crontab import Imported, read_crontab
from natsched.core.schedules import Cron, instants


def read(text: str, **options: Any) -> Imported:
    return read_crontab(text, **{"timezone": "UTC", "prefix": "cron", **options})


def job(text: str, **options: Any) -> Mapping[str, Any]:
    (found,) = read(text, **options).jobs
    return found


def reasons(text: str, **options: Any) -> list[tuple[int, bool, str]]:
    return [(remark.line, remark.taken, remark.reason) for remark in read(text, **options).remarks]


def test_an_entry_becomes_a_command_with_the_comment_above_it() -> None:
    found = read("# all\n#   of it\n0 3 * * 1-5\t/usr/bin/backup.sh --all > /dev/null\n", timezone="Europe/Berlin")
    assert found.jobs == (
        {
            "id": "cron.backup-sh",
            "cron": "0 3 * * 1-5",
            "timezone": "Europe/Berlin",
            "metadata": {"description": "all of it"},
            "target": {"kind": "shell", "argv": ["/usr/bin/backup.sh --all > /dev/null"], "shell": True},
        },
    )
    assert found.remarks == ()
    assert read_job(found.jobs[0])["schedule"] == Cron("0 3 * * 1-5", timezone="Europe/Berlin")


def test_settings_hold_for_the_lines_below_them() -> None:
    text = """\
@hourly first
PATH = "/usr/bin:/bin"
SHELL=/bin/bash
HOME=/var/x
CRON_TZ=Asia/Tokyo
RANDOM_DELAY=5
0 5 * * * second
"""
    first, second = read(text).jobs
    assert first["target"] == {"kind": "shell", "argv": ["first"], "shell": True}
    assert second == {
        "id": "cron.second",
        "cron": "0 5 * * *",
        "timezone": "Asia/Tokyo",
        "jitter": "5m",
        "target": {
            "kind": "shell",
            "argv": ["/bin/bash", "-c", "second"],
            "env": {"PATH": "/usr/bin:/bin", "HOME": "/var/x"},
            "cwd": "/var/x",
        },
    }
    assert [line for line, taken, _ in reasons(text) if taken] == [6]


def test_a_system_crontab_names_a_user_whom_nobody_becomes() -> None:
    text = "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n@daily www /bin/x\n@daily alone"
    first, second = read(text, system=True).jobs
    assert (first["id"], first["metadata"]) == ("cron.run-parts", {"user": "root"})
    assert first["target"]["argv"] == ["cd / && run-parts --report /etc/cron.hourly"]
    assert second["metadata"] == {"user": "www"}
    assert [(line, taken) for line, taken, _ in reasons(text, system=True)] == [(1, True), (2, True), (3, False)]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(
    ("written", "output"),
    [
        ("cat # all", ""),
        (r"echo 'a\%b'", "a%b\n"),
        ("cat%one%it's 2%", "one\nit's 2\n"),
        ("cat # or not%one%%three", "one\n\nthree\n"),
        ("cat%", ""),
        (r"cat%50\%", "50%\n"),
    ],
)
def test_what_follows_a_percent_sign_is_the_input(shell: str, written: str, output: str) -> None:
    argv = job(f"SHELL={shell}\n@daily {written}")["target"]["argv"]
    command = argv if len(argv) > 1 else ["/bin/sh", "-c", *argv]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=20)
    assert ran.stdout == output


@pytest.mark.parametrize(
    ("when", "days"),
    [
        ("0 0 13 * 5", [3, 10, 13, 17, 24]),
        ("0 0 13 * FRI", [3, 10, 13, 17, 24]),
        ("0 0 */13 * 5", []),
        ("0 0 */2 * 5", [3, 17]),
        ("0 0 * * 7", [5, 12, 19, 26]),
    ],
)
def test_of_two_days_either_is_enough_unless_one_begins_with_a_star(when: str, days: list[int]) -> None:
    schedule = read_job(job(f"{when} x"))["schedule"]
    start, end = datetime(2026, 3, 31, 23, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    found = takewhile(lambda due: due < end, instants(schedule, start, anchor=start, salt=""))
    assert [due.day for due in found] == days


def test_equal_names_are_numbered() -> None:
    text = "@daily /a/run.sh\n@daily (run.sh)\n@weekly /b/run.sh x\n@daily &&"
    ids = [table["id"] for table in read(text).jobs]
    assert ids == ["cron.run-sh", "cron.run-sh-2", "cron.run-sh-3", "cron.job"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@reboot x", "nothing runs because a machine starts"),
        ("@every_minute x", "there is no @every_minute"),
        ("61 * * * * x", "cron '61 * * * *': minute: '61' is not allowed"),
        ("0~30 * * * * x", "cron '0~30 * * * *': minute"),
        ("* * * * *", "it has no five fields and a command"),
        ("hello", "it has no five fields and a command"),
        ("#0 3 * * * x", "it is commented out"),
        ("# words", "a comment that stands above no job"),
        ("# words\n\n@daily x", "a comment that stands above no job"),
        ("# words\n@reboot x", "a comment that stands above no job"),
        ("MAILTO=root", "no output is mailed"),
        ("LOGNAME=me", "it runs as the user of the replica"),
        ("SHELL=/bin/csh\n@daily x%y", "what follows % is its input, which /bin/csh is not given"),
        ("CRON_TZ=Nowhere/Here\n@daily x", "Nowhere/Here"),
    ],
)
def test_what_is_not_taken_is_told_with_its_reason(text: str, reason: str) -> None:
    assert any(reason in why for _, taken, why in reasons(text) if not taken)


_LINES = st.sampled_from(
    (
        "@daily a",
        "@reboot b",
        "# c",
        "",
        "X=1",
        "MAILTO=d",
        "0 3 * * 1 e%f",
        "#@daily g",
        "1 2 3 h",
        "- * * * * i",
        "-0 0 * * * j",
    )
)


@given(st.lists(_LINES | st.text(max_size=12), max_size=8), st.booleans())
def test_each_line_is_a_job_a_setting_a_comment_on_a_job_or_told(lines: list[str], system: bool) -> None:
    lines = [line for line in lines if "\n" not in line]
    found = read("\n".join(lines), system=system)
    for table in found.jobs:
        read_job(table)
    assert len({table["id"] for table in found.jobs}) == len(found.jobs)
    told = {remark.line for remark in found.remarks if not remark.taken}
    rest = [line.strip() for number, line in enumerate(lines, 1) if number not in told and line.strip()]
    entries = [line for line in rest if not line.startswith("#") and "=" not in line]
    assert len(entries) <= len(found.jobs) <= len([line for line in rest if not line.startswith("#")])
    assert found.jobs or not any(line.startswith("#") for line in rest)
