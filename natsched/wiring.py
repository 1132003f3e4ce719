"""From settings to working parts: the one place that chooses between NATS and memory."""

import platform
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.jetstream.backend import JetStreamBackend
from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.identity import Identity, Tls
from natsched.jetstream.naming import Names
from natsched.jetstream.offering import MicroOffers
from natsched.jetstream.provisioning import Limits, provision, provision_consumer
from natsched.jetstream.topology import Topology
from natsched.memory.backend import MemoryBackend
from natsched.ports import Backend, Link, Offers
from natsched.protocol.changing import Settings as OperationSettings
from natsched.protocol.once import once
from natsched.protocol.operations import Operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A backend that is ready, the clock that goes with it, and its connection; memory has none to lose."""

    backend: Backend
    clock: SystemClock
    link: Link | None = None
    offers: Offers | None = None


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncGenerator[Opened, None]:
    """Connect, provision and give the backend that the settings ask for."""
    clock = SystemClock()
    if settings.mode == "local":
        scheduler = settings.scheduler
        async with MemoryBackend(
            clock, ack_wait=scheduler.ack_wait, duplicates_window=scheduler.duplicates_window
        ) as memory:
            yield Opened(backend=memory, clock=clock)
        return
    topology = topology_of(settings)
    async with open_connection(settings) as connection:
        backend = JetStreamBackend(
            connection, topology.names, ensure_consumer=partial(provision_consumer, connection, topology)
        )
        async with backend:
            await _provision(connection, topology, backend, settings, clock)
            yield Opened(backend=backend, clock=clock, link=connection, offers=MicroOffers(connection))


@asynccontextmanager
async def open_connection(settings: Settings) -> AsyncGenerator[Connection, None]:
    """Connect as the settings say, and provision nothing."""
    async with connect(_connection(settings)) as connection:
        yield connection


async def _provision(
    connection: Connection, topology: Topology, backend: Backend, settings: Settings, clock: SystemClock
) -> None:
    scheduler = settings.scheduler
    owner = f"{replica_name(settings)}-{random_bits():x}"

    async def exclusively(work: Callable[[], Awaitable[None]], fingerprint: str) -> object:
        return await once(
            backend.locks,
            clock,
            scheduler.once_key,
            work,
            owner=owner,
            fingerprint=fingerprint,
            ttl=scheduler.lease_ttl,
            deadline=scheduler.start_phase_timeout,
        )

    limits = Limits(
        jetstream_ready=scheduler.jetstream_ready_timeout,
        start_phase=scheduler.start_phase_timeout,
        stream_ready=scheduler.stream_ready_timeout,
    )
    await provision(connection, topology, exclusively, clock, limits=limits)


def topology_of(settings: Settings) -> Topology:
    """Return what the settings want to exist in NATS."""
    scheduler = settings.scheduler
    return Topology(
        names=Names(
            stream=scheduler.stream_name,
            prefix=scheduler.subject_prefix,
            consumer=scheduler.consumer_name,
            webhook_consumer=scheduler.webhook_consumer_name,
            jobs=scheduler.job_bucket,
            executions=scheduler.exec_bucket,
            locks=scheduler.lock_bucket,
            domain=settings.nats.domain,
        ),
        queues=tuple(settings.queues),
        replicas=scheduler.replicas,
        duplicates_window=scheduler.duplicates_window,
        ack_wait=scheduler.ack_wait,
    )


def _connection(settings: Settings) -> ConnectionOptions:
    nats = settings.nats
    return ConnectionOptions(
        servers=tuple(nats.servers),
        name=nats.name,
        connect_timeout=nats.connect_timeout,
        request_timeout=nats.request_timeout,
        ready_timeout=settings.scheduler.jetstream_ready_timeout,
        ping_interval=nats.ping_interval,
        reconnect_max_delay=nats.reconnect_max_delay,
        inbox_prefix=nats.inbox_prefix,
        domain=nats.domain,
        identity=Identity(
            credentials=nats.credentials,
            nkey=nats.nkey,
            user=nats.user,
            password=nats.password.get_secret_value() if nats.password else None,
            token=nats.token.get_secret_value() if nats.token else None,
        ),
        tls=Tls(ca=nats.tls.ca, cert=nats.tls.cert, key=nats.tls.key, hostname=nats.tls.hostname),
    )


def operations(opened: Opened, settings: Settings) -> Operations:
    """Return the operations on jobs as the settings want them."""
    return Operations(
        opened.backend,
        opened.clock,
        OperationSettings(
            lead=settings.scheduler.lead,
            completed_retention=settings.scheduler.completed_retention,
            history_retention=settings.history.retention,
            failures_retention=settings.history.failures_retention,
            budget=settings.scheduler.add_job_retry_budget,
            webhooks=settings.webhooks.subscriptions(),
        ),
        random_bits,
    )


def random_bits() -> int:
    """Return 80 random bits, for new ids."""
    return secrets.randbits(80)


def replica_name(settings: Settings) -> str:
    """Return this replica's name: the configured one, or the host's made one token of a subject."""
    if settings.replica.name is not None:
        return settings.replica.name
    return re.sub(r"[^A-Za-z0-9_-]", "-", platform.node()) or "replica"
