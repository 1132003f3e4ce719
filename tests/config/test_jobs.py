"""Jobs in a file: each way to write one, and what is said of those that are wrong."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from natsched.config import load_jobs, sample_jobs
from natsched.config.tables import JobTable, ScheduleTable
from natsched.core.schedules import Cron, Interval, Once
from natsched.core.specs import OPTIONS
from natsched.errors import ConfigError
from tests.config.writing import toml

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)


def jobs(folder: Path, text: str) -> list[dict[str, Any]]:
    return load_jobs(toml(folder, text, "jobs.toml"))


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ('cron = "0 3 * * *"', Cron("0 3 * * *")),
        ('cron = "0 3 * * *"\ntimezone = "Europe/Berlin"', Cron("0 3 * * *", timezone="Europe/Berlin")),
        (
            'cron = "0 3 * * *"\nskipped = "skip"\nrepeated = "both"',
            Cron("0 3 * * *", skipped="skip", repeated="both"),
        ),
        ('schedule = { cron = "0 3 * * *" }', Cron("0 3 * * *")),
        ('every = "10s"', Interval(period=timedelta(seconds=10))),
        ("every = 0.5\nfixed_delay = true", Interval(period=timedelta(seconds=0.5), fixed_delay=True)),
        ('schedule = { every = "1m", max_runs = 3 }', Interval(period=timedelta(minutes=1), max_runs=3)),
        ('every = "1m"\nstart_at = 2026-12-01T08:00:00Z', Interval(period=timedelta(minutes=1), start_at=AT)),
        ("at = 2026-12-01T08:00:00Z", Once(AT)),
        ("at = 2026-12-01T09:00:00+01:00", Once(AT)),
        ('at = "2026-12-01T08:00:00Z"', Once(AT)),
    ],
)
def test_a_schedule_is_written_in_the_job_or_in_a_table(tmp_path: Path, text: str, schedule: object) -> None:
    assert jobs(tmp_path, f'[[job]]\nid = "a"\n{text}\n') == [{"id": "a", "schedule": schedule}]


def test_other_keywords_are_passed_on_only_where_they_are_given(tmp_path: Path) -> None:
    text = """
    [[job]]
    id = "billing.daily"
    every = "1h"
    handler = "bill"
    queue = "mail"
    payload = { user = "42", tags = [1, true] }
    metadata = { team = "core" }
    timeout = "1m30s"
    deadline = "10m"
    catch_up_window = "12h"
    tolerance = 5
    overlap = "allow"
    delivery = "at_most_once"
    catch_up = "all"
    catch_up_limit = 5
    history = "none"
    max_crashes = 0
    """
    (job,) = jobs(tmp_path, text)
    assert job == {
        "id": "billing.daily",
        "schedule": Interval(period=timedelta(hours=1)),
        "handler": "bill",
        "queue": "mail",
        "payload": {"user": "42", "tags": [1, True]},
        "metadata": {"team": "core"},
        "timeout": timedelta(seconds=90),
        "deadline": timedelta(minutes=10),
        "catch_up_window": timedelta(hours=12),
        "tolerance": timedelta(seconds=5),
        "overlap": "allow",
        "delivery": "at_most_once",
        "catch_up": "all",
        "catch_up_limit": 5,
        "history": "none",
        "max_crashes": 0,
    }


def test_a_job_in_a_file_may_say_all_that_a_job_may_say() -> None:
    assert JobTable.model_fields.keys() - ScheduleTable.model_fields.keys() - {
        "id",
        "schedule",
        "payload_json",
        "metadata_json",
    } == set(OPTIONS)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ('kind = "nats", subject = "a.b"', {"kind": "nats", "subject": "a.b"}),
        (
            'kind = "nats", subject = "a", heartbeat = "1m", headers = { X = "1" }',
            {"kind": "nats", "subject": "a", "heartbeat": 60.0, "headers": {"X": "1"}},
        ),
        (
            'kind = "publish", subject = "a", body = [1], headers = { X = "1" }',
            {"kind": "publish", "subject": "a", "body": [1], "headers": {"X": "1"}},
        ),
    ],
)
def test_a_message_is_written_as_a_target(tmp_path: Path, text: str, target: dict[str, Any]) -> None:
    (job,) = jobs(tmp_path, f'[[job]]\nid = "a"\nevery = 1\ntarget = {{ {text} }}\n')
    assert job["target"] == target


def test_an_empty_file_has_no_jobs(tmp_path: Path) -> None:
    assert jobs(tmp_path, "") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[job]]\nevery = "1s"', "job 1, id: is missing"),
        ('[[job]]\nid = "a b"\nevery = "1s"', "job 1 \"a b\", id: 'a b' is no job id"),
        ("[[job]]\nid = 5\nevery = 1", "job 1, id: should be text"),
        ('[[job]]\nid = "a"', 'job 1 "a", schedule: nothing says when the job runs: give one of cron ='),
        ('[[job]]\nid = "a"\nevery = 1\ncron = "@daily"', 'job 1 "a", schedule: cron and every are given'),
        (
            '[[job]]\nid = "a"\nevery = 1\ntimezone = "UTC"',
            'job 1 "a", schedule: timezone goes with cron, not with',
        ),
        (
            '[[job]]\nid = "a"\ncron = "@daily"\nfixed_delay = true',
            'job 1 "a", schedule: fixed_delay goes with every',
        ),
        (
            '[[job]]\nid = "a"\nevery = 1\nschedule = { at = 2026-12-01T08:00:00Z }',
            "every stands beside the table",
        ),
        ('[[job]]\nid = "a"\ncron = "never"', 'job 1 "a", schedule: '),
        ('[[job]]\nid = "a"\ncron = "@daily"\ntimezone = "Mars/Base"', 'job 1 "a", schedule: '),
        ('[[job]]\nid = "a"\nevery = "10ms"', 'job 1 "a", every: 10ms is out of range: take 100ms'),
        ('[[job]]\nid = "a"\nevry = 1', 'job 1 "a", evry: unknown key: did you mean "every"?'),
        ('[[job]]\nid = "a"\nschedule = { crom = 1 }', 'schedule.crom: unknown key: did you mean "cron"?'),
        (
            '[[job]]\nid = "a"\nat = 2026-12-01T08:00:00',
            'job 1 "a", at: has no offset: write it like 2026-12-01T',
        ),
        (
            '[[job]]\nid = "a"\nat = 2026-12-01',
            'job 1 "a", at: should be an instant, such as 2026-12-01T08:00:00Z',
        ),
        ('[[job]]\nid = "a"\nat = 5', 'job 1 "a", at: should be an instant'),
        (
            '[[job]]\nid = "a"\nevery = 1\noverlap = "never"',
            "job 1 \"a\", overlap: should be 'skip', 'queue', 'replace' or 'allow'",
        ),
        (
            '[[job]]\nid = "a"\nevery = 1\ntarget = { kind = "nats", subject = "a.*" }',
            "job 1 \"a\", target.subject: 'a.*' has a wildcard: name one subject",
        ),
        (
            '[[job]]\nid = "a"\nevery = 1\ntarget = { kind = "nats", subject = "a", heartbeat = "1ms" }',
            "target.heartbeat: 1ms is out of range: take 100ms",
        ),
        ('[[job]]\nid = "a"\nevery = 1\npayload = nan', 'job 1 "a", payload: '),
        ('[[job]]\nid = "a"\nevery = 1\npayload = { when = 2026-12-01 }', 'job 1 "a", payload.when: '),
        ('[[jobs]]\nid = "a"', 'jobs ({file}): unknown key: did you mean "job"?'),
        ("job = 5", "job: write each job as a table [[job]]"),
        ('[job]\nid = "a"', "job: write each job as a table [[job]]"),
        (
            '[[job]]\nid = "a"\nevery = 1\n[[job]]\nid = "a"\nevery = 1',
            'job 2 "a", id: another job of this file has it',
        ),
    ],
)
def test_a_bad_job_is_refused_with_its_place_and_the_cure(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        jobs(tmp_path, text)
    assert caught.value.message.startswith(f"The jobs in {tmp_path / 'jobs.toml'} are not valid:\n  ")
    assert problem.format(file=tmp_path / "jobs.toml") in caught.value.message


def test_all_problems_of_all_jobs_are_told_at_once(tmp_path: Path) -> None:
    text = '[[job]]\nid = "a"\n[[job]]\nid = "b"\nevery = 1\nhandlr = 1\nqueue = "x y"\n'
    with pytest.raises(ConfigError) as caught:
        jobs(tmp_path, text)
    assert [problem.path for problem in caught.value.details["problems"]] == [
        'job 1 "a", schedule',
        'job 2 "b", queue',
        'job 2 "b", handlr',
    ]


def test_a_missing_file_of_jobs_does_not_point_at_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_jobs(tmp_path / "jobs.toml")
    assert caught.value.message == f"There is no file {tmp_path / 'jobs.toml'}."


def test_the_sample_jobs_show_each_kind_and_run_soon() -> None:
    found = {job["id"]: job for job in load_jobs(sample_jobs())}
    assert {job["handler"] for job in found.values()} == {"hello", "report", "slow"}
    schedules = [job["schedule"] for job in found.values()]
    assert any(isinstance(schedule, Cron) for schedule in schedules)
    assert any(isinstance(schedule, Interval) and schedule.fixed_delay for schedule in schedules)
