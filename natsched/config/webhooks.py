"""Who is told of status changes, and how: in the settings for all jobs, in a job's own table for that one."""

import json
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from natsched.config.durations import Duration, lasting
from natsched.config.fields import Count, Section, Text, Tokens
from natsched.core.executions import ExecutionStatus
from natsched.core.targets import problem_of_references, problem_of_url
from natsched.core.webhooks import Subscription, Webhook, problem_of_secret


def _url(value: str) -> str:
    if problem_of_url(value) is not None:
        raise ValueError('is no URL: write it like "https://host/path"')
    problem = problem_of_references(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _secret(value: str) -> str:
    problem = problem_of_secret(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _told(status: ExecutionStatus) -> ExecutionStatus:
    if status is ExecutionStatus.PLANNED:
        raise ValueError("is never told: leave it out")
    return status


def _json(value: object) -> object:
    """Take a list, or as text (from the environment) a JSON array."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError('is no JSON array: write [{"url": "https://host/path"}]') from None


def _fields(value: object) -> object:
    """Take a table, or a URL alone."""
    return {"url": value} if isinstance(value, str) else value


class WebhookTable(Section):
    """Where status changes are sent; `secret` is the name of a variable, never a value."""

    url: Annotated[Text, AfterValidator(_url)]
    secret: Annotated[str, AfterValidator(_secret)] | None = None
    statuses: tuple[Annotated[ExecutionStatus, AfterValidator(_told)], ...] = ()


JobWebhook = Annotated[WebhookTable, BeforeValidator(_fields, json_schema_input_type=WebhookTable | str)]
"""A job's own webhook: a table `[job.webhook]`, or its URL."""


class Receiver(WebhookTable):
    """A webhook for all jobs, or for those at and below a prefix."""

    jobs: Tokens | None = None

    def subscription(self) -> Subscription:
        webhook = Webhook(url=self.url, secret=self.secret, statuses=self.statuses)
        return Subscription(webhook=webhook, jobs=self.jobs or "")


class Webhooks(Section):
    """Who is told of all jobs, and how any webhook is."""

    receivers: Annotated[tuple[Receiver, ...], BeforeValidator(_json)] = ()
    timeout: Annotated[Duration, lasting("100ms", "5m")] = timedelta(seconds=10)
    give_up_after: Annotated[Duration, lasting("1s", "30d")] = timedelta(days=1)
    concurrency: Annotated[Count, Field(ge=1, le=1000)] = 32

    def subscriptions(self) -> tuple[Subscription, ...]:
        return tuple(receiver.subscription() for receiver in self.receivers)
