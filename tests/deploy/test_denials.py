"""The roles of `deploy/permissions.conf`: none may do what is not its own, and it is told so."""

from pathlib import Path

import anyio
import pytest

from natsched import Interval
from natsched.errors import PermissionDenied, Unavailable
from natsched.jetstream.api import call
from natsched.jetstream.backend import JetStreamBackend
from natsched.jetstream.naming import Names
from natsched.jetstream.server import EmbeddedServer
from natsched.jetstream.topology import Kind, Topology
from tests.deploy.roles import WORKER, client, connection, run_deployed, violations

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

NAMES = Names()
STREAMS = [asset.name for asset in Topology().assets() if asset.kind is Kind.STREAM]
DEADLINE = 30

CONSUME = [
    f"CONSUMER.MSG.NEXT.{NAMES.stream}.{NAMES.consumer}",
    f"CONSUMER.MSG.NEXT.{NAMES.stream}.{NAMES.webhook_consumer}",
    f"CONSUMER.CREATE.{NAMES.stream}",
    f"CONSUMER.CREATE.{NAMES.stream}.thief.{NAMES.deliveries}",
    f"CONSUMER.DURABLE.CREATE.{NAMES.stream}.thief",
    f"CONSUMER.DELETE.{NAMES.stream}.{NAMES.consumer}",
    f"CONSUMER.DELETE.{NAMES.stream}.{NAMES.webhook_consumer}",
]
CHANGE = [f"STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE") for stream in STREAMS]
DESTROY = [f"STREAM.{verb}.{stream}" for verb in ("DELETE", "PURGE", "SNAPSHOT", "RESTORE") for stream in STREAMS]
DENIED = {
    "replica": [*DESTROY, *CONSUME[2:], "STREAM.CREATE.OTHER", "STREAM.LIST"],
    "runner": [*DESTROY, *CONSUME[2:], *CHANGE, f"CONSUMER.CREATE.{NAMES.stream}.{NAMES.consumer}"],
    "client": [*DESTROY, *CONSUME, *CHANGE, "CONSUMER.CREATE.KV_SCHEDULER_LOCKS"],
    "reader": [
        *DESTROY,
        *CONSUME,
        *CHANGE,
        *(f"CONSUMER.CREATE.{stream}" for stream in STREAMS),
        "STREAM.MSG.DELETE.SCHEDULER",
        "STREAM.MSG.GET.SCHEDULER",
    ],
}
OWN_INBOX = {role: f"_INBOX_{role}.x" for role in DENIED}
UNHEARD = ["_INBOX.>", "_INBOX_admin.>", "scheduler.>", "$KV.>", "$JS.>", ">"]
WRITES = [
    "$KV.SCHEDULER_JOBS.a",
    "$KV.SCHEDULER_EXECUTIONS.a",
    "scheduler.schedule.a",
    "scheduler.delivery.default.plan.a",
    "scheduler.webhook.a",
]
UNSAID = {
    "replica": ["elsewhere", "$KV.OTHER.a"],
    "runner": ["elsewhere", "$KV.OTHER.a"],
    "client": [
        "$JS.ACK.SCHEDULER.scheduler-worker.1.1.1.1.0",
        "$JS.ACK.SCHEDULER.scheduler-webhooks.1.1.1.1.0",
        "$KV.SCHEDULER_LOCKS.lease.a",
    ],
    "reader": ["$JS.ACK.SCHEDULER.scheduler-worker.1.1.1.1.0", "$KV.SCHEDULER_LOCKS.lease.a", *WRITES],
}


@pytest.mark.parametrize("role", DENIED)
async def test_a_role_is_refused_what_is_not_its_own_at_once(tmp_path: Path, role: str) -> None:
    with run_deployed(tmp_path) as server:
        await _set_up(server)
        async with connection(server, role) as one:
            for verb in DENIED[role]:
                with anyio.fail_after(2), pytest.raises(PermissionDenied):
                    await call(one, verb, {})


@pytest.mark.parametrize("role", DENIED)
async def test_a_role_neither_hears_nor_says_what_is_not_its_own(tmp_path: Path, role: str) -> None:
    inboxes = [inbox for other, inbox in OWN_INBOX.items() if other != role]
    with run_deployed(tmp_path) as server:
        async with connection(server, role) as one:
            for subject in (*UNHEARD, *inboxes):
                await one.nc.subscribe(subject)
            for subject in UNSAID[role]:
                await one.nc.publish(subject, b"")
            await call(one, "INFO")  # behind all of these, which nats-py's flush is not
        found = [line.rpartition("Subject ")[2].split(",")[0].strip(' "') for line in violations(server)]
    assert set(found) == {*UNHEARD, *inboxes, *UNSAID[role]}


async def test_a_request_to_a_subject_that_is_not_named_is_refused_at_once_and_says_so(tmp_path: Path) -> None:
    with run_deployed(tmp_path) as server:
        await _set_up(server)
        async with connection(server, "runner") as one, JetStreamBackend(one, NAMES) as backend:
            async with backend.messages.request("elsewhere") as request:
                await request.send(b"", {})
                with anyio.fail_after(2), pytest.raises(PermissionDenied, match="elsewhere"):
                    await request.receive()
            with anyio.fail_after(2), pytest.raises(PermissionDenied, match="elsewhere"):
                await backend.messages.store("elsewhere", b"", {})


async def test_a_worker_neither_hears_nor_says_what_is_not_its_own(tmp_path: Path) -> None:
    unsaid = ["reports.render", "scheduler-cancel.U-1.1", "$JS.API.INFO", *WRITES]
    unheard = [*UNHEARD, "_INBOX_replica.>", "elsewhere"]
    with run_deployed(tmp_path, workers=True) as server:
        async with connection(server, WORKER) as one:
            for subject in unheard:
                await one.nc.subscribe(subject)
            for subject in unsaid:
                await one.nc.publish(subject, b"")
            await one.nc.subscribe("reports.>")
            with anyio.fail_after(DEADLINE):
                while len(violations(server)) < len(unsaid) + len(unheard):  # noqa: ASYNC110 - the log sets no event
                    await anyio.sleep(0.05)
        found = [line.rpartition("Subject ")[2].split(",")[0].strip(' "') for line in violations(server)]
    assert sorted(found) == sorted([*unheard, *unsaid])


async def test_a_reader_that_writes_is_refused_in_bounded_time(tmp_path: Path) -> None:
    hasty = {"nats.request_timeout": "200ms", "scheduler.add_job_retry_budget": "1s"}
    with run_deployed(tmp_path) as server:
        await _set_up(server)
        async with client(server, "client") as one:
            await one.ensure_job("a", Interval(hours=1))
        async with client(server, "reader", hasty) as one:
            for write in (one.ensure_job("b", Interval(hours=1)), one.pause_job("a"), one.remove_job("a")):
                with anyio.fail_after(DEADLINE), pytest.raises((PermissionDenied, Unavailable)):
                    await write
            assert [job.id for job in (await one.list_jobs()).jobs] == ["a"]


@pytest.mark.parametrize("role", ["runner", "client", "reader"])
async def test_on_an_empty_server_those_that_cannot_set_up_say_so_at_once(tmp_path: Path, role: str) -> None:
    refused = pytest.raises(PermissionDenied, match=r"cannot be made.*STREAM\.CREATE")
    with run_deployed(tmp_path) as server, anyio.fail_after(5), refused:
        await _set_up(server, role)


async def test_who_may_write_one_job_may_wipe_them_all(tmp_path: Path) -> None:
    """So there is no user for a tenant. Should this fail one day, there can be one."""
    with run_deployed(tmp_path) as server:
        await _set_up(server)
        async with client(server, "client") as one:
            await one.ensure_job("acme.a", Interval(hours=1))
            await one.ensure_job("other.b", Interval(hours=1))
            async with connection(server, "client") as tenant:
                await tenant.request(NAMES.key(NAMES.jobs, "acme.a"), b"", headers={"Nats-Rollup": "all"})
            assert [job.id for job in (await one.list_jobs("other")).jobs] == []
        async with connection(server, "admin") as admin:
            for stream in (NAMES.stream, NAMES.bucket_stream(NAMES.jobs)):
                config = (await call(admin, f"STREAM.INFO.{stream}"))["config"]
                answer = await call(admin, f"STREAM.UPDATE.{stream}", {**config, "allow_rollup_hdrs": False})
                assert answer["config"]["allow_rollup_hdrs"] is True, "the server can switch it off now"


async def _set_up(server: EmbeddedServer, role: str = "replica") -> None:
    async with client(server, role):
        pass
