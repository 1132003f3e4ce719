"""Two tenants in two accounts of `deploy/permissions.conf`: what the one does, the other neither sees nor suffers."""

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from nats.aio.msg import Msg

from natsched import Client, Ensured, Interval, JobNotFound
from natsched.config import FileOfJobs
from natsched.errors import BackendError, NatschedError, PermissionDenied
from natsched.jetstream.api import call
from natsched.jetstream.connection import Connection
from natsched.jetstream.naming import Names
from natsched.jetstream.server import EmbeddedServer
from natsched.jetstream.topology import Kind, Topology
from tests.deploy.roles import TENANTS, client, connection, inbox_of, run_deployed

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

NAMES = Names()
STREAMS = [asset.name for asset in Topology().assets() if asset.kind is Kind.STREAM]
CONSUMERS = (NAMES.consumer, NAMES.webhook_consumer)
JOB = "tenant.secret"
HOURLY = Interval(hours=1)
PATIENCE = 0.5
DEADLINE = 30
NEVER = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def tenants(folder: Path) -> AsyncIterator[tuple[EmbeddedServer, str]]:
    """Run a server with both tenants set up, and a job of the one with an execution that waits; give its id."""
    with run_deployed(folder, workers=True) as server:
        for role in ("replica", "acme-replica"):
            async with client(server, role):
                pass
        async with client(server, "client") as one:
            await one.ensure_job(JOB, HOURLY, handler="h", payload={"secret": "hush"})
            execution = (await one.trigger_job(JOB)).execution_id
        yield server, execution


async def everything(server: EmbeddedServer) -> str:
    """Return all that the first tenant's account holds, byte for byte: configurations, states, messages."""
    async with connection(server, "admin") as admin:
        found: list[Any] = []
        for stream in STREAMS:
            info = await call(admin, f"STREAM.INFO.{stream}", {"subjects_filter": ">"})
            found += [info["config"], info["state"]]
            for seq in range(info["state"]["first_seq"], info["state"]["last_seq"] + 1):
                try:
                    found.append((await call(admin, f"STREAM.MSG.GET.{stream}", {"seq": seq}))["message"])
                except NatschedError:
                    continue
        for consumer in CONSUMERS:
            info = await call(admin, f"CONSUMER.INFO.{NAMES.stream}.{consumer}")
            found += [{**info, "ts": None}]
        found.append(sorted((await call(admin, "STREAM.NAMES"))["streams"]))
        return json.dumps(found, sort_keys=True)


def operations(one: Client, execution: str) -> dict[str, tuple[Callable[[], Awaitable[Any]], object]]:
    """Return a call of each operation, on the other's job, with what it gives: a value, or an error."""

    async def iterated() -> list[str]:
        return [job.id async for job in one.iter_jobs()]

    async def listed() -> list[str]:
        return [job.id for job in (await one.list_jobs("tenant")).jobs]

    async def waited() -> object:
        return await one.execution(JOB, execution).wait(PATIENCE)

    async def watched() -> None:
        async with one.watch(JOB):
            pass

    async def applied() -> object:
        table = {"id": "tenant.filed", "schedule": HOURLY, "owner": "tenant"}
        file = FileOfJobs(path=Path("jobs.toml"), owner="tenant", jobs=(table,))
        return await one.apply_plan(await one.plan_files(file))

    async def kept() -> None:
        with TemporaryDirectory() as folder:
            await one.backup(Path(folder, "backup"))
            await one.restore(Path(folder, "backup"), overwrite=True)

    return {
        "replicas": (one.replicas, []),
        "backlog": (one.backlog, {}),
        "watch": (watched, None),
        "upcoming_runs": (lambda: one.upcoming_runs(JOB), JobNotFound),
        "get_job": (lambda: one.get_job(JOB), JobNotFound),
        "list_jobs": (listed, []),
        "iter_jobs": (iterated, []),
        "executions": (lambda: one.executions(JOB), []),
        "pause_job": (lambda: one.pause_job(JOB), JobNotFound),
        "resume_job": (lambda: one.resume_job(JOB), JobNotFound),
        "trigger_job": (lambda: one.trigger_job(JOB), JobNotFound),
        "backfill_job": (lambda: one.backfill_job(JOB, NEVER, NEVER), JobNotFound),
        "remove_job": (lambda: one.remove_job(JOB), JobNotFound),
        "cancel_execution": (lambda: one.cancel_execution(JOB, execution), JobNotFound),
        "pause_execution": (lambda: one.pause_execution(JOB, execution), JobNotFound),
        "resume_execution": (lambda: one.resume_execution(JOB, execution), JobNotFound),
        "retry_execution": (lambda: one.retry_execution(JOB, execution), JobNotFound),
        "retry_dead": (lambda: one.retry_dead(JOB), []),
        "execution": (waited, TimeoutError),
        "ensure_job": (lambda: one.ensure_job(JOB, HOURLY, handler="mine"), Ensured.CREATED),
        "submit_job": (lambda: one.submit_job("tenant.other", HOURLY, unique_key="k"), None),
        "ensure_jobs": (lambda: one.ensure_jobs([{"id": JOB, "schedule": HOURLY, "handler": "again"}]), None),
        "plan_files": (lambda: one.plan_files(FileOfJobs(path=Path("none.toml"), owner=None, jobs=())), None),
        "apply_plan": (applied, None),
        "backup": (kept, None),
        "restore": (kept, None),
    }


async def test_no_operation_of_a_client_finds_or_touches_what_is_anothers(tmp_path: Path) -> None:
    async with tenants(tmp_path) as (server, execution):
        before = await everything(server)
        async with client(server, "acme-client") as one:
            calls = operations(one, execution)
            public = {name for name, _ in inspect.getmembers(Client, callable) if not name.startswith("_")}
            assert set(calls) == public, "a new operation has to be put into the table above"
            for name, (ask, wanted) in calls.items():
                if isinstance(wanted, type):
                    with pytest.raises(wanted):
                        await ask()
                else:
                    found = await ask()
                    assert wanted is None or found == wanted, name
            await one.remove_job(JOB)
        assert await everything(server) == before


async def test_nothing_that_is_said_in_an_account_is_heard_or_does_anything_in_another(tmp_path: Path) -> None:
    """As the one who may do most: an administrator of the other tenant, and then its roles."""
    async with tenants(tmp_path) as (server, execution):
        before = await everything(server)
        heard: list[Msg] = []

        async def hear(message: Msg) -> None:
            heard.append(message)

        async with connection(server, "acme-admin") as thief:
            for subject in (">", "_INBOX.>", "_INBOX_client.>", "_INBOX_admin.>", "$KV.>", "$JS.>", "$SYS.>"):
                await thief.nc.subscribe(subject, cb=hear)
            await _read_all(server)
            await call(thief, "INFO")
            assert [message for message in heard if b"hush" in message.data or "client" in message.subject] == []
        for role in reversed(TENANTS):  # the administrator, who deletes all that it can, comes last
            async with connection(server, role) as one:
                await _attack(one, role, execution)
        assert await everything(server) == before
        async with client(server, "client") as owner:
            assert (await owner.get_job(JOB)).payload == {"secret": "hush"}
            assert (await owner.trigger_job(JOB)).execution_id != execution


async def test_a_tenant_stores_no_more_than_its_account_may(tmp_path: Path) -> None:
    async with tenants(tmp_path) as (server, _), connection(server, "acme-admin") as greedy:
        limits = (await call(greedy, "INFO"))["limits"]
        assert (limits["max_storage"], limits["max_memory"], limits["max_streams"]) == (2**30, 2**26, 4)
        with pytest.raises(BackendError, match="maximum number of streams reached"):
            await call(greedy, "STREAM.CREATE.MORE", {"name": "MORE", "subjects": ["more"]})


async def _read_all(server: EmbeddedServer) -> None:
    """Have the first tenant read and follow all that it has."""
    async with client(server, "client") as owner:
        assert (await owner.get_job(JOB)).payload == {"secret": "hush"}
        assert [job.id for job in (await owner.list_jobs()).jobs] == [JOB]


async def _attack(one: Connection, role: str, execution: str) -> None:
    """Write to all subjects that there are, and ask all that can be asked, also of other accounts by their names."""
    wipe = {"Nats-Rollup": "all"}
    key = NAMES.key(NAMES.jobs, JOB)
    for subject in (
        key,
        NAMES.key(NAMES.executions, f"{JOB}.{execution}.1"),
        NAMES.key(NAMES.locks, "lease.r1.1"),
        f"{NAMES.prefix}.schedule.{JOB}",
        f"{NAMES.prefix}.delivery.default.plan.{JOB}",
        f"{NAMES.prefix}.webhook.x",
        f"$JS.NATSCHED.API.{key}",
        f"NATSCHED.{key}",
        "_INBOX_client.x",
    ):
        await one.nc.publish(subject, b"mine", headers=wipe)
    everywhere = {"name": "SPY", "subjects": ["spy.>"], "sources": [_source(stream) for stream in STREAMS]}
    asked: list[tuple[str, object]] = [
        *((f"STREAM.MSG.GET.{stream}", {"last_by_subj": ">"}) for stream in STREAMS),
        *((f"STREAM.PURGE.{stream}", {}) for stream in STREAMS),
        *((f"CONSUMER.CREATE.{stream}", _consumer(stream)) for stream in STREAMS),
        ("STREAM.CREATE.SPY", everywhere),
        ("ACCOUNT.PURGE.NATSCHED", {}),
        *((f"STREAM.DELETE.{stream}", {}) for stream in STREAMS),
        ("STREAM.NAMES", {}),
    ]
    system = ("ACCOUNT.NATSCHED.JSZ", "ACCOUNT.NATSCHED.CONNZ", "SERVER.PING.JSZ", "SERVER.PING.VARZ")
    subjects = [(f"$JS.{api}API.{verb}", body) for verb, body in asked for api in ("", "NATSCHED.")]
    subjects += [(f"$SYS.REQ.{question}", {"account": "NATSCHED"}) for question in system]
    answers = await one.nc.subscribe(f"{inbox_of(role)}.answers.>")
    for number, (subject, body) in enumerate(subjects):
        await one.nc.publish(subject, json.dumps(body).encode(), reply=f"{inbox_of(role)}.answers.{number}")
    with anyio.fail_after(DEADLINE):
        while not await _is_heard(one):  # behind all of these
            continue
    for message in [await answers.next_msg() for _ in range(answers.pending_msgs)]:
        subject, _ = subjects[int(message.subject.rpartition(".")[2])]
        is_elsewhere = subject.startswith(("$SYS", "$JS.NATSCHED"))
        assert not (is_elsewhere and message.data), f"{subject} was answered"  # and not by "no responders" alone
        assert b"hush" not in message.data


def _source(stream: str) -> dict[str, object]:
    return {"name": stream, "external": {"api": "$JS.NATSCHED.API", "deliver": "_INBOX_client"}}


def _consumer(stream: str) -> dict[str, object]:
    config = {"deliver_subject": NAMES.key(NAMES.jobs, JOB), "ack_policy": "none"}
    return {"stream_name": stream, "config": config}


async def _is_heard(one: Connection) -> bool:
    try:
        await call(one, "INFO")
    except PermissionDenied:  # of what was published before
        return False
    return True
