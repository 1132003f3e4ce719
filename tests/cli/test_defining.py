"""A job's options: every one reaches the job, and a bad one is refused by its name."""

import json

import pytest

from natsched.memory import MemoryBackend
from tests.cli.running import Cli

pytestmark = pytest.mark.usefixtures("stored")

_ALL = (
    "--handler mail --queue slow --timeout 30s --tolerance 5m --overlap allow --delivery at_most_once "
    "--catch-up all --catch-up-limit 7 --catch-up-window 12h --deadline 10m --history failures --max-crashes 1 "
    "--metadata team=core --metadata a=b=c --webhook https://host/hook"
)


def test_every_option_of_a_job_arrives(cli: Cli) -> None:
    payload = {"user": "42", "names": ["ä", None, 1.5]}
    job = cli.json("job", "submit", "all", "--every", "10s", "--payload", json.dumps(payload), *_ALL.split())
    asked = {
        "handler": "mail", "queue": "slow", "timeout": 30.0, "tolerance": 300.0, "overlap": "allow",
        "delivery": "at_most_once", "catch_up": "all", "catch_up_limit": 7, "history": "failures",
        "catch_up_window": 43200.0, "deadline": 600.0,
        "max_crashes": 1, "metadata": {"team": "core", "a": "b=c"}, "payload": payload,
        "webhook": {"url": "https://host/hook", "statuses": []},
    }  # fmt: skip
    assert {name: job[name] for name in asked} == asked


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        (
            "--cron @daily --timezone Europe/Berlin --skipped skip --repeated both --max-runs 3",
            {"kind": "cron", "expression": "@daily", "timezone": "Europe/Berlin", "skipped": "skip",
             "repeated": "both", "max_runs": 3},
        ),
        (
            "--every 1m30s --fixed-delay --jitter 2s --start-at 2030-01-01T00:00:00Z",
            {"kind": "interval", "period": 90.0, "fixed_delay": True, "jitter": 2.0,
             "start_at": "2030-01-01T00:00:00Z"},
        ),
        (
            "--at 2030-01-01T00:00:00+01:00 --end-at 2031-01-01T00:00:00Z",
            {"kind": "once", "at": "2029-12-31T23:00:00Z", "end_at": "2031-01-01T00:00:00Z"},
        ),
    ],
)  # fmt: skip
def test_every_option_of_a_schedule_arrives(cli: Cli, options: str, schedule: dict[str, object]) -> None:
    assert cli.json("job", "submit", "timed", *options.split())["schedule"] == schedule


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("", "--cron"),
        ("--every 5s --cron @daily", "give one of"),
        ("--every 5s --timezone UTC", "timezone goes with cron"),
        ("--every 10x", "--every:"),
        ("--every 1ms", "--every:"),
        ("--cron x", "cron 'x'"),
        ("--cron @daily --timezone Mars/Base", "Mars/Base"),
        ("--at 5", "--at:"),
        ("--at 2026-12-01T08:00:00", "--at: has no offset"),
        ("--every 5s --start-at soon", "--start-at:"),
        ("--every 5s --max-runs 0", "--max-runs:"),
        ("--every 5s --max-runs x", "--max-runs"),
        ("--every 5s --jitter 1y", "--jitter:"),
        ("--every 5s --overlap maybe", "--overlap:"),
        ("--every 5s --delivery never", "--delivery:"),
        ("--every 5s --catch-up some", "--catch-up:"),
        ("--every 5s --history one", "--history:"),
        ("--every 5s --queue a.b", "--queue:"),
        ("--every 5s --timeout 0", "--timeout:"),
        ("--every 5s --payload {", "--payload:"),
        ("--every 5s --payload NaN", "--payload:"),
        (r'--every 5s --payload "\ud800"', "--payload:"),
        ("--every 5s --metadata team", "--metadata:"),
        ("--every 5s --webhook ftp://host", "--webhook.url: is no URL"),
        ("--every 5s --webhook {", "--webhook:"),
        ('--every 5s --webhook {"url":"https://h","secret":"s3"}', "--webhook.secret:"),
        ('--every 5s --webhook {"url":"https://h","statuses":["planned"]}', "--webhook.statuses.0:"),
        ("--every 5s --webhook https://h/${TOKEN}", "--webhook.url: ${TOKEN} is not let out"),
        ("--every 5s --webhook {", '"https://host/hook"'),
        ("--every 5s --target ls", '"argv": ["ls"]'),
        ('--every 5s --target {"argv":["ls"]}', "--target.kind: is missing"),
        ('--every 5s --target {"kind":"bash"}', "--target.kind: should be 'shell', 'http', 'nats' or 'publish'"),
        ('--every 5s --target {"kind":"shell"}', "--target.argv: is missing"),
        ('--every 5s --target {"kind":"http","url":"https://h/${TOKEN}"}', "--target.url: ${TOKEN} is not let out"),
        (
            '--every 5s --target {"kind":"http","url":"https://h","headers":{"X":"${TOKEN}"}}',
            "--target.headers.X: ${TOKEN} is not let out",
        ),
        ("--every 5s --retry many", "write a number of attempts"),
        ('--every 5s --retry {"max_attempts":0}', "--retry.max_attempts:"),
        ("--every 5s --concurrency-key a..b", "--concurrency-key: 'a..b' is no such key"),
        ("--after a..b", "--after: 'a..b' is no job id"),
        ("--after billing.daily", "--after: it would run after itself"),
        ("--after nobody", "--after: there is no job nobody"),
        ("--after nobody --jitter 3s", "jitter does not go with after: leave it out"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(cli: Cli, options: str, named: str) -> None:
    for verb in ("ensure", "submit"):
        said = cli.refused("job", verb, "billing.daily", *options.split())
        assert named in said
        assert "\n" not in said


def test_all_that_is_wrong_is_told_at_once(cli: Cli) -> None:
    said = cli.refused("job", "ensure", "a..b", "--every", "10x", "--overlap", "maybe")
    assert all(name in said for name in ("id:", "--every:", "--overlap:"))


def test_a_refused_job_is_not_stored(cli: Cli, stored: MemoryBackend) -> None:
    cli.refused("job", "ensure", "billing.daily", "--every", "5s", "--overlap", "maybe")
    assert cli.json("job", "list") == []


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "nats", "subject": "reports.render", "heartbeat": 30.0},
        {"kind": "publish", "subject": "orders.expired", "body": {"order": 7}},
    ],
)
def test_a_message_as_target_arrives(cli: Cli, target: dict[str, object]) -> None:
    job = cli.json("job", "submit", "asking", "--every", "10s", "--target", json.dumps(target))
    assert {name: job["target"][name] for name in target} == target
    assert f"{target['kind']}: {target['subject']}" in cli.ok("job", "show", "asking").out


def test_show_tells_of_the_webhook(cli: Cli) -> None:
    hook = {"url": "https://host/hook", "secret": "NATSCHED_SECRET_HOOK", "statuses": ["failed", "dead"]}
    cli.ok("job", "submit", "plain", "--every", "10s", "--webhook", "https://host/hook")
    cli.ok("job", "submit", "signed", "--every", "10s", "--webhook", json.dumps(hook))
    assert "webhook      https://host/hook\n" in cli.ok("job", "show", "plain").out
    told = "https://host/hook of failed, dead, signed with NATSCHED_SECRET_HOOK"
    assert told in cli.ok("job", "show", "signed").out
