"""The NATS service under `deploy/permissions.conf`: who may ask may do no more; without the lines it is not there."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import nats.errors
import pytest

from natsched import Client, Interval, Registry
from natsched.config import load
from natsched.core.executions import ExecutionStatus
from natsched.daemon.building import build_replica
from natsched.jetstream.server import EmbeddedServer
from natsched.service.offering import offered
from natsched.wiring import open_backend, operations
from tests.deploy.roles import CALLER, connection, run_deployed, variables, violations

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
DEADLINE = 20


@asynccontextmanager
async def _offering(server: EmbeddedServer) -> AsyncIterator[Client]:
    registry = Registry()
    registry.handler("h")(lambda _: 7)
    settings = load(None, {"service.enabled": True}, variables(server, "replica"))
    async with open_backend(settings) as opened, anyio.create_task_group() as tasks:
        replica = build_replica(settings, opened, registry)
        async with offered(settings, opened):
            await tasks.start(replica.run)
            yield Client(opened.backend, operations(opened, settings), opened.clock)
        replica.stop()


async def test_a_caller_asks_the_service_and_does_nothing_else(tmp_path: Path) -> None:
    with run_deployed(tmp_path, workers=True) as server:
        async with _offering(server), connection(server, CALLER) as caller:
            made = await caller.nc.request(
                "natsched.submitJob", b'{"id": "a", "every": "1h", "handler": "h"}', DEADLINE
            )
            assert json.loads(made.data)["id"] == "a"
            ping = await caller.nc.request("$SRV.PING.natsched", b"", DEADLINE)
            assert json.loads(ping.data)["name"] == "natsched"
            assert not violations(server)
            for subject in ("$KV.SCHEDULER_JOBS.a", "$JS.API.INFO", "scheduler.delivery.default.plan.a"):
                await caller.nc.publish(subject, b"")
            with anyio.fail_after(DEADLINE):
                while len(violations(server)) < 3:  # noqa: ASYNC110 - the log sets no event
                    await anyio.sleep(0.05)


async def test_a_replica_that_may_not_be_asked_goes_on_without(tmp_path: Path) -> None:
    with run_deployed(tmp_path) as server:
        async with _offering(server) as client:
            await client.ensure_job("a", Interval(hours=1), handler="h")
            record = await (await client.trigger_job("a")).wait(DEADLINE)
            assert (record.status, record.result) == (ExecutionStatus.OK, 7)
            assert any("natsched.listJobs" in line for line in violations(server))
            async with connection(server, "admin") as admin:
                with pytest.raises(nats.errors.NoRespondersError):
                    await admin.nc.request("natsched.listJobs", b"", DEADLINE)
