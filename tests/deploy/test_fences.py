"""What a fence of subjects within one account keeps a tenant from, and what not: why each tenant has an account.

Measured, so that it shows when a server can do more.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from natsched import Interval, connect
from natsched.config import load
from natsched.core.jobs import JobId
from natsched.errors import NatschedError, PermissionDenied
from natsched.jetstream.api import call
from natsched.jetstream.connection import Connection, ConnectionOptions
from natsched.jetstream.connection import connect as connect_to
from natsched.jetstream.identity import Identity
from natsched.jetstream.naming import Names
from natsched.jetstream.server import EmbeddedServer, ServerOptions

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

NAMES = Names()
JOBS, RECORDS = (NAMES.bucket_stream(bucket) for bucket in (NAMES.jobs, NAMES.executions))
MINE, OTHER = JobId("acme.a"), JobId("other.b")
FENCED = """
authorization {
  users: [
    {user: "admin", password: "padmin"}
    {user: "acme", password: "pacme", permissions: {
      publish: {allow: [
        "$KV.SCHEDULER_JOBS.acme.>", "$KV.SCHEDULER_EXECUTIONS.acme.>", "scheduler.schedule.acme.>"
        "$JS.API.DIRECT.GET.KV_SCHEDULER_JOBS.$KV.SCHEDULER_JOBS.acme.>"
        "$JS.API.CONSUMER.CREATE.KV_SCHEDULER_EXECUTIONS.*.$KV.SCHEDULER_EXECUTIONS.acme.>"
      ]}
      subscribe: {allow: "_INBOX_acme.>"}
    }}
  ]
}
"""
DEADLINE = 10


@asynccontextmanager
async def fenced(folder: Path) -> AsyncIterator[tuple[Connection, Connection]]:
    """Give an administrator and a tenant that is fenced to its subjects, beside a job of each of two tenants."""
    with EmbeddedServer(ServerOptions(store=folder, extra=FENCED, stop_timeout=5)) as server:
        flags = {"nats.servers": [server.url], "nats.user": "admin", "nats.password": "padmin"}
        async with connect(settings=load(None, flags, {})) as client:
            for job in (MINE, OTHER):
                await client.ensure_job(job, Interval(hours=1))
        async with _connection(server, "admin") as admin, _connection(server, "acme") as tenant:
            yield admin, tenant


@asynccontextmanager
async def _connection(server: EmbeddedServer, user: str) -> AsyncIterator[Connection]:
    identity = Identity(user=user, password=f"p{user}")
    options = ConnectionOptions(servers=(server.url,), identity=identity, inbox_prefix=f"_INBOX_{user}")
    async with connect_to(options) as one:
        yield one


async def test_reads_of_a_key_and_writes_to_one_are_fenced_by_their_subjects(tmp_path: Path) -> None:
    async with fenced(tmp_path) as (_, tenant):
        mine = await tenant.request(_read(MINE), b"")
        assert json.loads(mine.data)["id"] == MINE
        for subject in (_read(OTHER), NAMES.key(NAMES.jobs, OTHER), NAMES.schedule(OTHER)):
            with pytest.raises(PermissionDenied):
                await tenant.request(subject, b"")
        for verb in (
            f"STREAM.MSG.GET.{JOBS}",
            f"DIRECT.GET.{JOBS}",
            f"STREAM.INFO.{JOBS}",
            f"CONSUMER.CREATE.{JOBS}",
        ):
            with pytest.raises(PermissionDenied):  # what they ask for is in their bodies: they cannot be allowed
                await call(tenant, verb, {})


async def test_a_consumer_is_fenced_by_the_filter_in_its_subject(tmp_path: Path) -> None:
    async with fenced(tmp_path) as (_, tenant):
        mine, all_of_them = (NAMES.key(NAMES.executions, keys) for keys in ("acme.>", ">"))
        await call(tenant, f"CONSUMER.CREATE.{RECORDS}.mine.{mine}", _consumer("mine", filter_subject=mine))
        for wanted in ({"filter_subject": all_of_them}, {"filter_subjects": [all_of_them]}, {}):
            with pytest.raises(NatschedError):
                await call(tenant, f"CONSUMER.CREATE.{RECORDS}.thief.{mine}", _consumer("thief", **wanted))


async def test_who_may_schedule_one_hint_may_hint_at_anothers_job_and_remove_all_hints(tmp_path: Path) -> None:
    """A hint has no authority, so this costs time, not runs: but it cannot be fenced."""
    async with fenced(tmp_path) as (admin, tenant):
        foreign = {"Nats-Schedule": "@at 2026-01-01T00:00:00Z", "Nats-Schedule-Target": _delivery(OTHER)}
        await tenant.request(NAMES.schedule(MINE), b"{}", headers=foreign)
        with anyio.fail_after(DEADLINE):
            while _delivery(OTHER) not in await _subjects(admin, NAMES.stream):  # noqa: ASYNC110 - nothing sets an event
                await anyio.sleep(0.05)
        await tenant.request(NAMES.schedule(MINE), b"{}", headers={"Nats-Rollup": "all"})
        assert set(await _subjects(admin, NAMES.stream)) == {NAMES.schedule(MINE)}


@pytest.mark.parametrize(
    ("config", "wipes"),
    [
        ({}, False),
        ({"subject_delete_marker_ttl": 60 * 10**9}, True),
        ({"allow_msg_schedules": True}, True),
    ],
    ids=["plain", "with markers", "with schedules"],
)
async def test_a_stream_with_markers_or_schedules_lets_any_writer_wipe_it(
    tmp_path: Path, config: Mapping[str, Any], wipes: bool
) -> None:
    """So leases (whose ends are markers) and hints (which are schedules) cannot be fenced; documents could be."""
    async with fenced(tmp_path) as (admin, _):
        asked = {"name": "S", "subjects": ["s.*"], "allow_msg_ttl": True, "allow_rollup_hdrs": False, **config}
        await call(admin, "STREAM.CREATE.S", asked)
        for subject in ("s.other", "s.mine"):
            await admin.request(subject, b"")
        await admin.request("s.mine", b"", headers={"Nats-Rollup": "all"})
        assert ("s.other" not in await _subjects(admin, "S")) is wipes


def _read(job: str) -> str:
    return f"$JS.API.DIRECT.GET.{JOBS}.{NAMES.key(NAMES.jobs, job)}"


def _delivery(job: str) -> str:
    return f"{NAMES.prefix}.delivery.default.plan.{job}"


def _consumer(name: str, **config: object) -> dict[str, object]:
    return {"stream_name": RECORDS, "config": {"name": name, "ack_policy": "none", **config}}


async def _subjects(admin: Connection, stream: str) -> Mapping[str, int]:
    found: Mapping[str, int] = (await call(admin, f"STREAM.INFO.{stream}", {"subjects_filter": ">"}))["state"].get(
        "subjects", {}
    )
    return found
