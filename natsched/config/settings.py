"""All settings with their defaults; `config/natsched.toml` says in plain words what each one does."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from natsched.config.connection import Nats
from natsched.config.durations import Duration, lasting
from natsched.config.fields import (
    App,
    Count,
    Key,
    Name,
    ReplicationFactor,
    Section,
    Text,
    Tokens,
    listed,
)
from natsched.config.http import Http
from natsched.config.webhooks import Webhooks

BUCKETS = ("job_bucket", "exec_bucket", "lock_bucket")


class PublishRetry(Section):
    """How often and how soon a publish that nobody answered is repeated."""

    attempts: Annotated[Count, Field(ge=1, le=100)] = 3
    initial_backoff: Annotated[Duration, lasting("10ms", "60s")] = timedelta(seconds=1)


class Scheduler(Section):
    """What natsched keeps in NATS, and its limits of time; replicas and clients must agree on the names."""

    stream_name: Name = "SCHEDULER"
    subject_prefix: Tokens = "scheduler"
    consumer_name: Name = "scheduler-worker"
    webhook_consumer_name: Name = "scheduler-webhooks"
    job_bucket: Name = "SCHEDULER_JOBS"
    exec_bucket: Name = "SCHEDULER_EXECUTIONS"
    lock_bucket: Name = "SCHEDULER_LOCKS"
    once_key: Key = "scheduler.init"
    replicas: ReplicationFactor = 1
    duplicates_window: Annotated[Duration, lasting("1s", "1d")] = timedelta(minutes=2)
    lead: Annotated[Duration, lasting("100ms", "60s")] = timedelta(seconds=1)
    prefetch: Annotated[Count, Field(ge=1, le=1_000_000)] = 8192
    ack_wait: Annotated[Duration, lasting("1s", "10m")] = timedelta(seconds=5)
    lease_ttl: Annotated[Duration, lasting("2s", "10m", whole_seconds=True)] = timedelta(seconds=5)
    completed_retention: Annotated[Duration, lasting("1s", "3650d", whole_seconds=True)] = timedelta(days=1)
    reconciler_interval: Annotated[Duration, lasting("1s", "1d")] = timedelta(seconds=30)
    reconciler_grace_period: Annotated[Duration, lasting("1s", "1d")] = timedelta(seconds=30)
    add_job_retry_budget: Annotated[Duration, lasting("0s", "10m")] = timedelta(seconds=5)
    stream_ready_timeout: Annotated[Duration, lasting("1s", "1h")] = timedelta(seconds=30)
    jetstream_ready_timeout: Annotated[Duration, lasting("1s", "1h")] = timedelta(seconds=30)
    start_phase_timeout: Annotated[Duration, lasting("1s", "1h")] = timedelta(seconds=30)
    publish_retry: PublishRetry = PublishRetry()

    @model_validator(mode="after")
    def _check_buckets(self) -> Self:
        for first, second in ((0, 1), (0, 2), (1, 2)):
            names = BUCKETS[first], BUCKETS[second]
            if getattr(self, names[0]) == getattr(self, names[1]):
                raise PydanticCustomError(
                    "distinct",
                    f"{names[0]} and {names[1]} are the same bucket: each needs its own",
                    {"fields": names},
                )
        return self


class Queue(Section):
    """A class of work; a replica works on the queues that it is given and on no others."""

    concurrency: Annotated[Count, Field(ge=1, le=100_000)] = 1000


def _some(queues: dict[str, Queue]) -> dict[str, Queue]:
    if not queues:
        raise ValueError("name at least one queue, such as [queues.default]")
    return queues


Queues = Annotated[dict[Name, Queue], AfterValidator(_some)]


class History(Section):
    """How long the records of executions are kept, and how many bytes of what is logged in each run."""

    retention: Annotated[Duration, lasting("1s", "3650d", whole_seconds=True)] = timedelta(days=7)
    failures_retention: Annotated[Duration, lasting("1s", "3650d", whole_seconds=True)] = timedelta(days=30)
    log_limit: Annotated[Count, Field(ge=0, le=256 * 1024)] = 64 * 1024


class Shell(Section):
    """Commands: whoever may write jobs may then run anything as the replica's user."""

    enabled: bool = False
    environment: tuple[Text, ...] = ("PATH", "HOME", "LANG", "TZ")


class Targets(Section):
    """What a replica runs besides the handlers of its registry."""

    shell: Shell = Shell()


class Service(Section):
    """The NATS service of a replica: whoever may publish below the prefix may do what a client can."""

    enabled: bool = False
    prefix: Name = "natsched"


class Jobs(Section):
    """Files of jobs that a replica applies when it starts."""

    files: Annotated[tuple[Path, ...], BeforeValidator(listed)] = ()
    prune: bool = False


class Plugins(Section):
    """Installed packages that bring handlers and jobs, by the entry points `natsched.jobs`."""

    enabled: bool = True
    only: Annotated[tuple[Text, ...], BeforeValidator(listed)] = ()


class Replica(Section):
    """This process; without a name it is called after the host."""

    name: Name | None = None
    shutdown_grace: Annotated[Duration, lasting("0s", "1d")] = timedelta(seconds=30)
    thread_limit: Annotated[Count, Field(ge=1, le=10_000)] = 40


class Logs(Section):
    """What is logged, and how: `auto` is console on a terminal and json elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json", "auto"] = "auto"


class Settings(BaseSettings):
    """The whole configuration; `Settings()` is the defaults and reads nothing: `load` does."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mode: Literal["nats", "local"] = "nats"
    app: App | None = None
    nats: Nats = Nats()
    scheduler: Scheduler = Scheduler()
    queues: Queues = Field(default_factory=lambda: {"default": Queue()})
    history: History = History()
    targets: Targets = Targets()
    webhooks: Webhooks = Webhooks()
    http: Http = Http()
    service: Service = Service()
    jobs: Jobs = Jobs()
    plugins: Plugins = Plugins()
    replica: Replica = Replica()
    logs: Logs = Logs()

    @model_validator(mode="after")
    def _check_consumers(self) -> Self:
        name, own = self.scheduler.consumer_name, self.scheduler.webhook_consumer_name
        if own == name or (own.startswith(f"{name}-") and own[len(name) + 1 :] in self.queues):
            raise ValueError(
                f'scheduler.webhook_consumer_name is "{own}", as a queue has its consumer called: take another name'
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is passed: `load` joins the sources, as it must say where a value is from."""
        return (init_settings,)
