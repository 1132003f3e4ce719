"""Webhooks in the settings and in files of jobs."""

from datetime import timedelta
from pathlib import Path

import pytest

from natsched.config import load, load_jobs, show
from natsched.core.executions import ExecutionStatus
from natsched.core.webhooks import Subscription, Webhook
from natsched.errors import ConfigError
from tests.config.writing import loaded, refusal, toml

_TWO = """
[webhooks]
give_up_after = "2h"
[[webhooks.receivers]]
url = "https://a.example/hook"
secret = "NATSCHED_SECRET_A"
statuses = ["dead", "failed"]
jobs = "billing.daily"
[[webhooks.receivers]]
url = "https://${NATSCHED_SECRET_KEY}@b.example/"
"""


def test_receivers_are_tables_and_are_shown_so_that_they_load_the_same(tmp_path: Path) -> None:
    settings = loaded(tmp_path, _TWO)
    assert settings.webhooks.give_up_after == timedelta(hours=2)
    first = Webhook(
        url="https://a.example/hook",
        secret="NATSCHED_SECRET_A",
        statuses=(ExecutionStatus.DEAD, ExecutionStatus.FAILED),
    )
    assert settings.webhooks.subscriptions() == (
        Subscription(webhook=first, jobs="billing.daily"),
        Subscription(webhook=Webhook(url="https://${NATSCHED_SECRET_KEY}@b.example/")),
    )
    assert loaded(tmp_path, show(settings)) == settings


def test_receivers_may_come_from_the_environment() -> None:
    environ = {"NATSCHED_WEBHOOKS__RECEIVERS": '[{"url": "https://a.example/", "jobs": "a"}]'}
    (found,) = load(None, {}, environ).webhooks.subscriptions()
    assert (found.webhook.url, found.jobs) == ("https://a.example/", "a")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[webhooks.receivers]]\nurl = 5", "webhooks.receivers.0.url: should be text"),
        ('[[webhooks.receivers]]\nurl = "host"', "webhooks.receivers.0.url: is no URL: write it like"),
        ('[[webhooks.receivers]]\nsecret = "NATSCHED_SECRET_A"', "webhooks.receivers.0.url: is missing"),
        (
            '[[webhooks.receivers]]\nurl = "https://a"\nsecret = "s3cret"',
            "webhooks.receivers.0.secret: should be the name of an environment variable that begins with",
        ),
        (
            '[[webhooks.receivers]]\nurl = "https://a"\nstatuses = ["planned"]',
            "webhooks.receivers.0.statuses.0: is never told: leave it out",
        ),
        ('[[webhooks.receivers]]\nurl = "https://a"\njobs = "a.*"', "webhooks.receivers.0.jobs: take letters"),
        ('[[webhooks.receivers]]\nurl = "https://a"\nuri = "b"', "webhooks.receivers.0.uri: unknown key"),
        ('[webhooks]\nreceivers = "https://a"', "webhooks.receivers: is no JSON array"),
        ("[webhooks]\nconcurrency = 0", "webhooks.concurrency: "),
        (
            '[scheduler]\nconsumer_name = "a"\nwebhook_consumer_name = "a"',
            'scheduler.webhook_consumer_name is "a", as a queue has its consumer called',
        ),
        (
            '[scheduler]\nwebhook_consumer_name = "scheduler-worker-mail"\n[queues.mail]',
            'scheduler.webhook_consumer_name is "scheduler-worker-mail", as a queue has',
        ),
    ],
)
def test_a_bad_value_is_refused_by_its_path(tmp_path: Path, text: str, problem: str) -> None:
    said = refusal(tmp_path, text).replace(f" ({tmp_path / 'natsched.toml'})", "")
    assert problem in said
    assert "s3cret" not in said


def test_a_job_has_a_url_or_a_table(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        """
        [[job]]
        id = "a"
        every = "10s"
        webhook = "https://a.example/hook"
        [[job]]
        id = "b"
        every = "10s"
        webhook = { url = "https://b.example/", secret = "NATSCHED_SECRET_B", statuses = ["dead"] }
        """,
    )
    first, second = load_jobs(path)
    assert first["webhook"] == {"url": "https://a.example/hook"}
    assert second["webhook"] == {
        "url": "https://b.example/",
        "secret": "NATSCHED_SECRET_B",
        "statuses": (ExecutionStatus.DEAD,),
    }


def test_a_bad_webhook_of_a_job_is_refused_by_its_path(tmp_path: Path) -> None:
    path = toml(tmp_path, '[[job]]\nid = "a"\nevery = "10s"\nwebhook = { url = "host" }')
    with pytest.raises(ConfigError, match=r'job 1 "a", webhook\.url: is no URL'):
        load_jobs(path)
