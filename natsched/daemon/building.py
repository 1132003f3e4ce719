"""From settings to a replica."""

from dataclasses import replace

from natsched.config import Settings
from natsched.daemon.events import Observer
from natsched.daemon.files import load_files
from natsched.daemon.options import ReplicaOptions, WebhookOptions
from natsched.daemon.replica import Replica
from natsched.protocol.retrying import Retry
from natsched.targets.options import TargetOptions
from natsched.targets.registry import Registry
from natsched.wiring import Opened, operations, random_bits, replica_name


def options_of(settings: Settings) -> ReplicaOptions:
    """Return how the settings want a replica to be."""
    scheduler = settings.scheduler
    return ReplicaOptions(
        name=replica_name(settings),
        queues={name: queue.concurrency for name, queue in settings.queues.items()},
        prefetch=scheduler.prefetch,
        lead=scheduler.lead,
        ack_wait=scheduler.ack_wait,
        lease_ttl=scheduler.lease_ttl,
        shutdown_grace=settings.replica.shutdown_grace,
        reconciler_interval=scheduler.reconciler_interval,
        reconciler_grace=scheduler.reconciler_grace_period,
        completed_retention=scheduler.completed_retention,
        history_retention=settings.history.retention,
        failures_retention=settings.history.failures_retention,
        thread_limit=settings.replica.thread_limit,
        log_limit=settings.history.log_limit,
        targets=TargetOptions(
            shell=settings.targets.shell.enabled,
            environment=settings.targets.shell.environment,
        ),
        prune=settings.jobs.prune,
        webhooks=WebhookOptions(
            subscriptions=settings.webhooks.subscriptions(),
            give_up_after=settings.webhooks.give_up_after,
            timeout=settings.webhooks.timeout,
            concurrency=settings.webhooks.concurrency,
        ),
        publish_retry=Retry(
            attempts=scheduler.publish_retry.attempts,
            initial_backoff=scheduler.publish_retry.initial_backoff.total_seconds(),
        ),
    )


def build_replica(
    settings: Settings, opened: Opened, registry: Registry, observers: tuple[Observer, ...] = ()
) -> Replica:
    """Build a replica on an opened backend; run it with `await replica.run()`."""
    return Replica(
        opened.backend,
        opened.clock,
        replace(options_of(settings), files=load_files(settings.jobs.files, registry)),
        registry,
        operations(opened, settings),
        random_bits,
        observers,
    )
