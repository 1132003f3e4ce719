"""How a replica is set up; the defaults are those of the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from natsched.config import FileOfJobs
from natsched.core.webhooks import Subscription
from natsched.protocol.retrying import Retry
from natsched.targets.options import TargetOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Who is told of all jobs, and how notices are delivered: for how long, within what, how many at once."""

    subscriptions: tuple[Subscription, ...] = ()
    give_up_after: timedelta = timedelta(days=1)
    timeout: timedelta = timedelta(seconds=10)
    concurrency: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaOptions:
    """What a replica needs to know besides its backend, clock and registry.

    `queues`: how many executions of each queue run here at once. `prefetch`: how many hints of each queue are
    held here at once. `spill_after`: how long a due run waits for a free slot before another replica may
    have it. `reconciler_ttl`: that of the reconciler's lock. `sample_every`: how often the server's time is asked.
    `log_limit`: how many bytes of what is logged in a run its record keeps.
    `files`: jobs that it applies when it starts, with `prune` also by removing what is no more in them.
    """

    name: str
    queues: Mapping[str, int] = field(default_factory=lambda: {"default": 1000})
    prefetch: int = 8192
    lead: timedelta = timedelta(seconds=1)
    ack_wait: timedelta = timedelta(seconds=5)
    lease_ttl: timedelta = timedelta(seconds=5)
    spill_after: timedelta = timedelta(milliseconds=100)
    shutdown_grace: timedelta = timedelta(seconds=30)
    reconciler_interval: timedelta = timedelta(seconds=30)
    reconciler_grace: timedelta = timedelta(seconds=30)
    reconciler_ttl: timedelta = timedelta(seconds=5)
    sample_every: timedelta = timedelta(seconds=5)
    completed_retention: timedelta = timedelta(days=1)
    history_retention: timedelta = timedelta(days=7)
    failures_retention: timedelta = timedelta(days=30)
    thread_limit: int = 40
    log_limit: int = 64 * 1024
    targets: TargetOptions = field(default_factory=TargetOptions)
    webhooks: WebhookOptions = field(default_factory=WebhookOptions)
    files: Sequence[FileOfJobs] = ()
    prune: bool = False
    publish_retry: Retry = field(default_factory=Retry)
