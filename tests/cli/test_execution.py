"""`natsched execution`: records as a table, in full, and as JSON."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
from pydantic import JsonValue

from natsched.core.executions import Cause, ExecutionStatus, Line, Logs, Record
from natsched.memory import MemoryBackend
from tests.cli.running import Cli
from tests.factories import NOON, make_record


def _record(hour: int, status: ExecutionStatus = ExecutionStatus.OK, **fields: Any) -> Record:
    due = NOON + timedelta(hours=hour)
    if status is ExecutionStatus.OK:
        fields |= {"started_at": due + timedelta(milliseconds=2), "ended_at": due + timedelta(seconds=1)}
    return make_record(execution=f"UID-{hour}", status=status, due=due, **fields)


@pytest.fixture(autouse=True)
def _records(stored: MemoryBackend) -> None:
    records = [
        _record(1),
        _record(2, ExecutionStatus.FAILED, error="KeyError: 'name'", traceback="Traceback:\n  line"),
        _record(3, ExecutionStatus.MISSED, attempt=0, number=5, reason="later than the tolerance"),
    ]
    _keep(stored, *records)


def _keep(stored: MemoryBackend, *records: Record) -> None:
    async def fill() -> None:
        async with stored:
            for record in records:
                await stored.history.create(record, ttl=timedelta(days=1))

    anyio.run(fill)


def test_list_shows_the_newest_first(cli: Cli) -> None:
    lines = cli.ok("execution", "list").out.splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["UID-3", "UID-2", "UID-1"]
    assert "5 instants, later than the tolerance" in lines[1]
    assert "KeyError: 'name'" in lines[2]
    assert "2.00 ms" in lines[3]


def test_list_of_a_job_and_a_limit(cli: Cli) -> None:
    assert len(cli.json("execution", "list", "billing.daily", "-n", "2")) == 2
    assert cli.json("execution", "list", "another") == []


def test_a_skip_that_came_to_nothing_is_not_shown_beside_the_run(cli: Cli, stored: MemoryBackend) -> None:
    instant = NOON + timedelta(hours=4)
    skips = [
        _record(hour, ExecutionStatus.SKIPPED, attempt=0, first=first, last=first)
        for hour, first in ((4, instant), (5, instant))
    ]
    _keep(stored, *skips, _record(4), _record(5))
    shown = [(one["execution"], one["status"]) for one in cli.json("execution", "list")]
    assert shown[:-3] == [("UID-5", "ok"), ("UID-4", "ok"), ("UID-5", "skipped")], "one of another instant stays"


def test_missed_shows_only_what_did_not_run_however_far_back(cli: Cli, stored: MemoryBackend) -> None:
    _keep(stored, *(_record(hour) for hour in range(4, 10)))
    assert [one["execution"] for one in cli.json("execution", "list", "--missed", "--limit", "1")] == ["UID-3"]


def test_a_record_as_json_has_every_key_and_instants_with_z(cli: Cli) -> None:
    record = cli.json("execution", "list")[2]
    assert record["due"] == "2026-01-01T13:00:00Z"
    assert record["started_at"] == "2026-01-01T13:00:00.002000Z"
    assert (record["lag"], record["duration"]) == (0.002, 0.998)
    assert record["error"] is None


def test_show_has_the_traceback(cli: Cli) -> None:
    text = cli.ok("execution", "show", "billing.daily", "UID-2").out
    assert "error       KeyError: 'name'" in text
    assert "traceback   Traceback:\n              line" in text
    assert [one["attempt"] for one in cli.json("execution", "show", "billing.daily", "UID-2")] == [1]


def test_show_tells_by_whom_it_was_asked_for_and_what_its_hooks_met(cli: Cli, stored: MemoryBackend) -> None:
    cause = Cause(job="billing.first", execution="UID-0", attempt=1, status=ExecutionStatus.OK, at=NOON)
    hooks = {"on_success": "ValueError: broken", "finally": "KeyError: 'x'"}
    _keep(stored, _record(4, manual=True, hooks=hooks), _record(5, manual=True, cause=cause))
    asked = cli.ok("execution", "show", "billing.daily", "UID-4").out
    assert "UID-4 (by hand)" in asked
    assert asked.endswith("hooks       on_success: ValueError: broken\n            finally: KeyError: 'x'\n")
    linked = cli.ok("execution", "show", "billing.daily", "UID-5").out
    assert "by hand" not in linked
    assert "runs after  billing.first UID-0, ok" in linked


def test_logs_shows_what_each_attempt_logged(cli: Cli, stored: MemoryBackend) -> None:
    said: dict[str, JsonValue] = {"tries": 2, "exception": "Traceback:\n  line"}
    first = Logs(lines=(Line(at=NOON, level="info", text="begins"),), cut=1234)
    second = Logs(lines=(Line(at=NOON, level="error", text="again", logger="app", fields=said),))
    _keep(stored, _record(4, ExecutionStatus.RETRYING, logs=first), _record(4, attempt=2, logs=second))
    which = ("execution", "logs", "billing.daily", "UID-4")
    lines = cli.ok(*which).out.splitlines()
    assert [line.split()[0] for line in lines[:4:3]] == ["attempt", "attempt"]
    assert lines[1:3] == ["  (1,234 older lines were more than is kept)", "  2026-01-01 12:00:00Z  info      begins"]
    assert lines[4:] == ["  2026-01-01 12:00:00Z  error     again tries=2", "    Traceback:", "      line"]
    assert [one["attempt"] for one in cli.json(*which)] == [1, 2]
    (only,) = cli.json(*which, "--attempt", "2")
    assert (only["lines"][0]["text"], only["lines"][0]["fields"]["tries"]) == ("again", 2)
    assert cli.json("execution", "logs", "billing.daily", "UID-1") == [{"attempt": 1, "lines": []}]
    assert "logs" not in cli.json("execution", "list")[0]


def test_an_execution_without_a_record_ends_in_4(cli: Cli) -> None:
    assert "no record of UID-9" in cli.refused("execution", "show", "billing.daily", "UID-9", code=4)


def test_one_that_has_not_ended_is_told_apart_from_one_that_never_was(cli: Cli) -> None:
    cli.ok("job", "ensure", "a", "--every", "1h", "--handler", "h")
    asked = cli.json("job", "trigger", "a")["execution"]
    assert f"no record of {asked} of a: it waits to be run" in cli.refused("execution", "logs", "a", asked, code=4)


def test_status_tells_only_of_executions_whose_last_attempt_ended_so(cli: Cli, stored: MemoryBackend) -> None:
    dead = _record(5, ExecutionStatus.DEAD, reason="3 attempts failed", attempt=3)
    revived = _record(6, ExecutionStatus.DEAD, attempt=3)
    _keep(stored, dead, revived, replace(revived, attempt=4, status=ExecutionStatus.OK))
    assert [one["execution"] for one in cli.json("execution", "list", "--status", "dead")] == ["UID-5"]
    assert cli.refused("execution", "list", "--status", "deaf").count("'deaf' is no status: take one of") == 1


def test_since_leaves_out_what_is_older(cli: Cli) -> None:
    since = (NOON + timedelta(hours=1, minutes=30)).isoformat()
    assert [one["execution"] for one in cli.json("execution", "list", "--since", since)] == ["UID-3", "UID-2"]
    assert cli.json("execution", "list", "--since", "1h") == []
    assert "--since" in cli.refused("execution", "list", "--since", "yesterday")


def test_what_is_running_is_listed_for_one_job_only(cli: Cli) -> None:
    assert cli.refused("execution", "list", "--status", "running").startswith("--status: ")
    assert cli.json("execution", "list", "billing.daily", "--status", "running") == []


def test_since_is_a_duration_or_an_instant(cli: Cli) -> None:
    assert "such as 24h, or an instant" in cli.refused("execution", "list", "--since", "yesterday")


def test_retry_needs_to_know_what(cli: Cli) -> None:
    assert "give a job and an execution of it, or --dead" in cli.refused("execution", "retry", "a")
    assert cli.json("execution", "retry", "--dead") == {"retried": []}
