"""`natsched job`: what each command does, shows and returns."""

from pathlib import Path

import pytest

from tests.cli.running import Cli

pytestmark = pytest.mark.usefixtures("stored")


@pytest.fixture(autouse=True)
def _daily(cli: Cli, stored: object) -> None:
    cli.ok("job", "submit", "billing.daily", "--cron", "0 3 * * *", "--handler", "bill", "--queue", "slow")


def test_ensure_says_created_then_unchanged_then_updated(cli: Cli) -> None:
    said = [cli.json("job", "ensure", "a", "--every", period)["outcome"] for period in ("1h", "60m", "2h")]
    assert said == ["created", "unchanged", "updated"]
    assert cli.ok("job", "ensure", "a", "--every", "2h").out.startswith("unchanged a: next run ")


def test_an_option_that_is_left_out_of_an_update_takes_its_default(cli: Cli) -> None:
    assert cli.json("job", "ensure", "billing.daily", "--cron", "0 3 * * *")["job"]["handler"] is None


def test_submit_of_a_job_that_exists_is_refused_with_5(cli: Cli) -> None:
    assert "billing.daily exists" in cli.refused("job", "submit", "billing.daily", "--every", "1h", code=5)


def test_list_shows_jobs_by_id(cli: Cli) -> None:
    cli.ok("job", "ensure", "a", "--every", "1h")
    lines = cli.ok("job", "list").out.splitlines()
    assert lines[0].split()[:3] == ["ID", "STATE", "NEXT"]
    assert [line.split()[0] for line in lines[1:]] == ["a", "billing.daily"]
    assert "cron 0 3 * * * UTC" in lines[2]
    assert [job["id"] for job in cli.json("job", "list")] == ["a", "billing.daily"]
    assert [job["id"] for job in cli.json("job", "list", "billing")] == ["billing.daily"]


def test_list_says_that_there_is_more(cli: Cli) -> None:
    for number in range(5):
        cli.ok("job", "ensure", f"many.{number}", "--every", "1h")
    short = cli("job", "list", "--limit", "3")
    assert (len(short.out.splitlines()), short.code) == (4, 0)
    assert "--all" in short.err
    assert len(cli.json("job", "list", "-n", "3")) == 3
    assert len(cli.json("job", "list", "--all")) == 6
    assert len(cli.ok("job", "list", "--all").out.splitlines()) == 7


def test_a_list_of_nothing_is_no_error(cli: Cli) -> None:
    nothing = cli("job", "list", "nobody")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "There are no jobs below nobody.\n")
    assert cli.json("job", "list", "nobody") == []


def test_show_tells_all_there_is_to_know(cli: Cli) -> None:
    text = cli.ok("job", "show", "billing.daily").out
    for line in ("state        active", "schedule     cron 0 3 * * * UTC", "handler      bill", "queue        slow"):
        assert line in text
    shown = cli.json("job", "show", "billing.daily")
    assert shown["next_run"].endswith("T03:00:00Z")
    assert shown["document"]["spec"]["schedule"]["expression"] == "0 3 * * *"


@pytest.mark.parametrize("verb", ["show", "pause", "resume", "trigger"])
def test_a_job_that_is_not_there_ends_in_4(cli: Cli, verb: str) -> None:
    assert "no job nobody" in cli.refused("job", verb, "nobody", code=4)
    assert "no job nobody" in cli.refused("job", "remove", "nobody", "--yes", code=4)


def test_pause_and_resume(cli: Cli) -> None:
    assert cli.json("job", "pause", "billing.daily")["state"] == "paused"
    assert cli.json("job", "show", "billing.daily")["next_run"] is None
    assert "next run" in cli.ok("job", "resume", "billing.daily").out
    paused = cli.json("job", "pause", "billing.daily", "--until", "2099-01-01T00:00:00Z")
    assert paused["paused_until"] == "2099-01-01T00:00:00Z"
    assert "--until:" in cli.refused("job", "pause", "billing.daily", "--until", "tomorrow")


def test_a_pause_until_an_instant_that_has_passed_is_refused(cli: Cli) -> None:
    said = cli.refused("job", "pause", "billing.daily", "--until", "2020-01-01T00:00:00Z")
    assert said == "--until: 2020-01-01T00:00:00Z has passed: take an instant to come"


def test_a_window_for_submissions_needs_its_key(cli: Cli) -> None:
    submit = ("job", "submit", "new", "--every", "1h")
    assert cli.refused(*submit, "--unique-for", "1h").startswith("--unique-for: goes with --unique-key")
    assert cli.refused(*submit, "--unique-for", "0s", "--unique-key", "k").startswith("--unique-for: ")
    assert cli.refused(*submit, "--unique-key", "").startswith("--unique-key: ")


def test_remove_asks_nobody_who_is_not_there(cli: Cli) -> None:
    assert "--yes" in cli.refused("job", "remove", "billing.daily")
    assert cli.json("job", "remove", "billing.daily", "--yes")["removed"] == "billing.daily"
    assert cli.json("job", "list") == []


def test_trigger_returns_the_execution(cli: Cli) -> None:
    asked = cli.json("job", "trigger", "billing.daily", "--payload", '{"why": "now"}')
    assert asked["job"] == "billing.daily"
    manual = cli.json("job", "show", "billing.daily")["document"]["status"]["manual"]
    assert manual[asked["execution"]]["payload"] == {"why": "now"}


def test_waiting_for_a_run_that_nobody_runs_ends_in_1(cli: Cli) -> None:
    ran = cli("job", "trigger", "billing.daily", "--wait", "--timeout", "50ms")
    assert ran.code == 1
    assert "has not ended within 50 ms" in ran.err
    assert "--wait" in cli.refused("job", "trigger", "billing.daily", "--timeout", "1s")


def test_ensure_of_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "jobs.toml"
    file.write_text('[[job]]\nid = "f.a"\nevery = "1h"\n[[job]]\nid = "f.b"\ncron = "@daily"\n')
    assert cli.json("job", "ensure", "--file", str(file)) == {"created": 2, "updated": 0, "unchanged": 0}
    assert cli.ok("job", "ensure", "--file", str(file)).out == "0 created, 0 updated, 2 unchanged\n"
    assert "--file:" in cli.refused("job", "ensure", "f.a", "--file", str(file))
    file.write_text('[[job]]\nid = "f.a"\nevery = "often"\n')
    assert 'job 1 "f.a", every' in cli.refused("job", "ensure", "--file", str(file))


def test_ensure_needs_an_id_or_a_file(cli: Cli) -> None:
    assert "--file" in cli.refused("job", "ensure", "--every", "1h")


def test_a_definition_takes_a_deadline_and_a_catch_up_window(cli: Cli) -> None:
    options = ("--deadline", "10m", "--catch-up-window", "12h", "--catch-up", "earliest")
    job = cli.json("job", "ensure", "a", "--every", "1h", *options)["job"]
    assert (job["deadline"], job["catch_up_window"], job["catch_up"]) == (600.0, 43200.0, "earliest")
    lines = [" ".join(line.split()) for line in cli.ok("job", "show", "a").out.splitlines()]
    assert {"deadline 600 s after the due", "catch up window 43200 s", "catch up earliest"} <= set(lines)
    refused = cli.refused("job", "ensure", "a", "--every", "1h", "--catch-up", "none", "--catch-up-window", "1h")
    assert "--catch-up-window: nothing is made up for" in refused
    assert "--deadline: 5 s is no longer than the jitter" in cli.refused(
        "job", "ensure", "a", "--every", "1h", "--jitter", "10s", "--deadline", "5s"
    )


def test_backfill_asks_once_for_each_instant(cli: Cli) -> None:
    cli.ok("job", "ensure", "a", "--cron", "0 3 * * *")
    range_ = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-04T00:00:00Z")
    dry = cli.json("job", "backfill", "a", *range_, "--dry-run")
    assert (dry["dry_run"], len(dry["asked"]), dry["asked"][0]["due"]) == (True, 3, "2026-01-01T03:00:00Z")
    assert cli.json("job", "show", "a")["document"]["status"]["manual"] == {}
    lines = cli.ok("job", "backfill", "a", *range_).out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[f"2026-01-0{day}", "03:00:00Z"] for day in (1, 2, 3)]
    assert "for 2026-01-02 03:00:00Z" in cli.ok("job", "show", "a").out
    again = cli("job", "backfill", "a", *range_)
    assert (again.code, again.out) == (0, "")
    assert "not asked for before" in again.err
    assert cli.json("job", "backfill", "a", *range_) == {"job": "a", "dry_run": False, "asked": [], "ended": []}


def test_a_backfill_that_cannot_be_is_refused(cli: Cli) -> None:
    cli.ok("job", "ensure", "a", "--cron", "* * * * *")
    first = ("--from", "2026-01-01T00:00:00Z")
    assert "1,440 instants" in cli.refused("job", "backfill", "a", *first, "--to", "2026-01-02T00:00:00Z", code=1)
    assert "lies ahead of now" in cli.refused("job", "backfill", "a", *first, "--to", "2999-01-01T00:00:00Z")
    assert "--to" in cli.refused("job", "backfill", "a", *first, "--to", "tomorrow")
    assert "--to: 2025" in cli.refused("job", "backfill", "a", *first, "--to", "2025-01-02T00:00:00Z")
    cli.ok("job", "ensure", "b", "--after", "a")
    assert "b has no instants" in cli.refused("job", "backfill", "b", *first, "--to", "2026-01-02T00:00:00Z")
    assert "no job nobody" in cli.refused("job", "backfill", "nobody", *first, "--to", "2026-01-01T01:00:00Z", code=4)
    waits = ("--to", "2026-01-01T00:03:00Z", "--wait", "--timeout", "50ms")
    ran = cli("job", "backfill", "a", *first, *waits)
    assert ran.code == 1
    assert "not all of 3 runs have ended within 50 ms" in ran.err


def test_a_job_that_was_paused_or_is_complete_says_why_in_the_list(cli: Cli) -> None:
    cli.ok("job", "pause", "billing.daily", "--reason", "stock-taking")
    cli.ok("job", "ensure", "past", "--at", "2020-01-01T00:00:00Z")
    text = cli.ok("job", "list").out
    assert "stock-taking" in text
    assert "no further instant" in text


def test_next_shows_local_times_and_what_the_clocks_do(cli: Cli) -> None:
    cli.ok("job", "ensure", "a.b", "--cron", "30 2 25 10 *", "--timezone", "Europe/Berlin", "--handler", "h")
    lines = cli.ok("job", "next", "a.b", "-n", "3").out.splitlines()
    assert len(lines) == 4
    assert all("02:30:00 CE" in line for line in lines[1:])
    first, *_ = cli.json("job", "next", "a.b")
    assert first.keys() == {"due", "local", "start", "note"}
    cli.ok("job", "pause", "a.b")
    assert "no next run" in cli("job", "next", "a.b").err
