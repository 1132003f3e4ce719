import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after

from natsched.clock import SystemClock
from natsched.errors import BackendError, PermissionDenied, ServerTooOld, TopologyConflict, Unavailable
from natsched.jetstream.api import call
from natsched.jetstream.backend import JetStreamBackend
from natsched.jetstream.connection import Connection, connect
from natsched.jetstream.identity import Identity
from natsched.jetstream.naming import Names
from natsched.jetstream.provisioning import Limits, provision, provision_consumer
from natsched.jetstream.server import EmbeddedServer
from natsched.jetstream.topology import Change, Create, Topology, Update
from natsched.protocol.once import once
from tests.servers import (
    OLDEST_LINE,
    TOO_OLD,
    options_for,
    run_cluster,
    run_server,
    server_binary,
    shared_server,
    unique_prefix,
)

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TTL = timedelta(seconds=2)
HASTY = Limits(
    jetstream_ready=timedelta(seconds=1), start_phase=timedelta(seconds=20), stream_ready=timedelta(seconds=20)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """What a replica has when it starts."""

    connection: Connection
    backend: JetStreamBackend
    name: str

    async def provision(self, topology: Topology, limits: Limits = HASTY) -> tuple[Change, ...]:
        clock = SystemClock()

        async def exclusively(work: Callable[[], Awaitable[None]], fingerprint: str) -> object:
            return await once(
                self.backend.locks,
                clock,
                "scheduler.init",
                work,
                owner=self.name,
                fingerprint=fingerprint,
                ttl=TTL,
                deadline=limits.start_phase,
            )

        return await provision(self.connection, topology, exclusively, clock, limits=limits)


@asynccontextmanager
async def replica(
    topology: Topology, *servers: EmbeddedServer, name: str = "one", **options: Any
) -> AsyncGenerator[Replica, None]:
    async with connect(options_for(*servers, **options)) as connection:
        backend = JetStreamBackend(connection, topology.names)
        async with backend:
            yield Replica(connection=connection, backend=backend, name=name)


def fresh() -> Topology:
    """A topology of its own on the shared server."""
    prefix = unique_prefix()
    names = Names(
        stream=f"{prefix}S",
        prefix=prefix,
        consumer=f"{prefix}-worker",
        jobs=f"{prefix}J",
        executions=f"{prefix}E",
        locks=f"{prefix}L",
    )
    return Topology(names=names, queues=("default", "mail"))


async def configs(connection: Connection, topology: Topology) -> dict[str, Any]:
    """Everything that exists, as the server has it."""
    streams = await call(connection, "STREAM.LIST")
    ours = {stream["config"]["name"]: stream["config"] for stream in streams["streams"]}
    found = {asset.name: ours.get(asset.name) for asset in topology.assets() if asset.kind == "stream"}
    if found[topology.names.stream]:
        consumers = await call(connection, f"CONSUMER.LIST.{topology.names.stream}")
        found |= {consumer["name"]: consumer["config"] for consumer in consumers["consumers"]}
    return found


async def test_an_empty_server_gets_all_of_it_and_works() -> None:
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            changes = await one.provision(topology)
            assert changes == tuple(Create(asset=asset) for asset in topology.assets())
            found = await configs(one.connection, topology)
            assert set(found) == {asset.name for asset in topology.assets()}
            for asset in topology.assets():
                wanted = {name: _as_json(value) for name, value in asset.config().items()}
                assert wanted.items() <= found[asset.name].items()


async def test_ten_at_once_make_one_topology() -> None:
    topology = fresh()
    made: list[Change] = []

    async def take_part(number: int) -> None:
        async with replica(topology, shared_server(), name=f"replica{number}") as one:
            made.extend(await one.provision(topology))

    with fail_after(30):
        async with create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(take_part, number)
        locks, *others = sorted(topology.assets(), key=lambda asset: asset != topology.locks())
        titles = [change.asset.title for change in made]
        assert locks.title in titles  # the bucket of the lock itself may be made by several at once
        assert sorted(title for title in titles if title != locks.title) == sorted(asset.title for asset in others)
        async with replica(topology, shared_server()) as one:
            assert await one.provision(topology) == ()


async def test_what_exists_is_read_within_100_ms_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(20):
            await one.provision(topology)
            asked: list[str] = []
            request = one.connection.request

            async def spy(subject: str, payload: bytes = b"", **more: Any) -> Any:
                asked.append(subject)
                return await request(subject, payload, **more)

            monkeypatch.setattr(one.connection, "request", spy)
            before = await configs(one.connection, topology)
            asked.clear()
            fastest = min([await _timed(one, topology) for _ in range(5)])
            assert fastest < 0.1
            assert asked
            assert not [subject for subject in asked if ".INFO" not in subject]
            assert await configs(one.connection, topology) == before
            locks = await call(one.connection, f"STREAM.INFO.KV_{topology.names.locks}")
            assert locks["state"]["last_seq"] == 3, "taken, marked done and released, by the first alone"


async def test_a_holder_that_is_killed_midway_is_followed_within_its_ttl() -> None:
    topology = fresh()
    server = shared_server()
    command = [sys.executable, "-m", "tests.jetstream.dying_holder", server.url, topology.names.prefix]
    async with await anyio.open_process(command, stderr=None, cwd=Path(__file__).parents[2]) as holder:
        assert holder.stdout is not None
        assert (await holder.stdout.receive()).startswith(b"halfway")
        holder.kill()
    async with replica(topology, server) as heir:
        assert await heir.backend.locks.get("scheduler.init.lock") is not None
        with fail_after(TTL.total_seconds() + 3):
            changes = await heir.provision(topology)
        assert 0 < len(changes) < len(topology.assets())
        assert None not in (await configs(heir.connection, topology)).values()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retention", "limits"),
        ("storage", "memory"),
        ("max_age", 3600 * 10**9),
        ("max_msgs", 10),
        ("subjects", ["{}.x"]),
    ],
)
async def test_what_contradicts_is_named_and_nothing_is_touched(field: str, value: Any) -> None:
    topology = fresh()
    stream, prefix = topology.names.stream, topology.names.prefix
    config = {"name": stream, "subjects": [f"{prefix}.>"], "retention": "workqueue", "storage": "file"}
    config[field] = [text.format(prefix) for text in value] if isinstance(value, list) else value
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            await call(one.connection, f"STREAM.CREATE.{stream}", config)
            before = await configs(one.connection, topology)
            with pytest.raises(TopologyConflict, match=f"stream {stream} exists with {field} =") as raised:
                await one.provision(topology)
            assert raised.value.details["field"] == field
            assert await configs(one.connection, topology) == before


async def test_subjects_that_another_stream_takes_are_a_conflict_that_says_so() -> None:
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            other = {"name": f"{unique_prefix()}other", "subjects": [f"{topology.names.prefix}.schedule.mine"]}
            await call(one.connection, f"STREAM.CREATE.{other['name']}", other)
            with pytest.raises(TopologyConflict, match="subject_prefix"):
                await one.provision(topology)


async def test_a_changed_setting_is_applied_and_the_operators_are_kept() -> None:
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            await one.provision(topology)
            stream = topology.names.stream
            before = (await configs(one.connection, topology))[stream]
            await call(
                one.connection, f"STREAM.UPDATE.{stream}", {**before, "description": "mine", "compression": "s2"}
            )
            await one.connection.js.publish(topology.names.prefix + ".delivery.default.plan.job", b"kept")
            changed = replace(topology, duplicates_window=timedelta(minutes=5), ack_wait=timedelta(seconds=7))
            changes = await one.provision(changed)
            assert {(type(change), change.asset.name) for change in changes} == {
                (Update, stream),
                (Update, topology.names.consumer),
                (Update, f"{topology.names.consumer}-mail"),
                (Update, topology.names.webhook_consumer),
            }
            found = await configs(one.connection, topology)
            assert found[stream]["duplicate_window"] == 300 * 10**9
            assert (found[stream]["description"], found[stream]["compression"]) == ("mine", "s2")
            assert found[topology.names.consumer]["ack_wait"] == 7 * 10**9
            info = await call(one.connection, f"STREAM.INFO.{stream}")
            assert info["state"]["messages"] == 1


async def test_what_was_deleted_behind_our_back_is_made_again() -> None:
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            await one.provision(topology)
            await call(one.connection, f"STREAM.DELETE.KV_{topology.names.jobs}")
            await call(one.connection, f"CONSUMER.DELETE.{topology.names.stream}.{topology.names.consumer}-mail")
            changes = await one.provision(topology)
            assert [change.asset.name for change in changes] == [
                f"KV_{topology.names.jobs}",
                f"{topology.names.consumer}-mail",
            ]


async def test_old_buckets_without_direct_reads_and_lives_are_brought_up() -> None:
    """As nats-py makes them: see the pitfalls of the design."""
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            for bucket in (topology.names.jobs, topology.names.locks):
                await one.connection.js.create_key_value(bucket=bucket)
            changes = await one.provision(topology)
            assert [change.asset.name for change in changes if isinstance(change, Update)] == [
                f"KV_{topology.names.locks}",
                f"KV_{topology.names.jobs}",
            ]
            assert await one.provision(topology) == ()


async def test_a_consumer_of_one_queue_is_made_updated_and_checked() -> None:
    topology = fresh()
    async with replica(topology, shared_server()) as one:
        with fail_after(10):
            with pytest.raises(Unavailable, match="stream not found"):
                await provision_consumer(one.connection, topology, "default", limit=timedelta(seconds=0.1))
            await one.provision(topology)
            await provision_consumer(one.connection, topology, "new")
            await provision_consumer(one.connection, replace(topology, ack_wait=timedelta(seconds=9)), "new")
            found = await configs(one.connection, topology)
            assert found[f"{topology.names.consumer}-new"]["ack_wait"] == 9 * 10**9
            other = replace(topology, names=replace(topology.names, consumer=f"{topology.names.prefix}-other"))
            with pytest.raises(TopologyConflict, match="takes the same deliveries"):
                await provision_consumer(one.connection, other, "new")


# What the server is, and may.


async def test_a_server_of_2_11_is_refused(tmp_path: Path) -> None:
    with run_server(tmp_path, server_binary(TOO_OLD)) as server:
        async with replica(Topology(), server) as one:
            with fail_after(5), pytest.raises(ServerTooOld, match=TOO_OLD):
                await one.provision(Topology())
            assert not any((await configs(one.connection, Topology())).values())


async def test_a_server_of_2_12_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with run_server(tmp_path, server_binary(OLDEST_LINE)) as server, fail_after(10):
        async with replica(Topology(), server) as one:
            assert len(await one.provision(Topology())) == 6
            assert await one.provision(Topology()) == ()
            changed = replace(Topology(), duplicates_window=timedelta(minutes=5))
            assert [type(change) for change in await one.provision(changed)] == [Update]
    assert f"{OLDEST_LINE} has known bugs" in caplog.text


async def test_replication_on_a_single_server_is_refused_with_the_cure() -> None:
    topology = replace(fresh(), replicas=3)
    async with replica(topology, shared_server()) as one:
        with fail_after(5), pytest.raises(TopologyConflict, match="set `replicas = 1`"):
            await one.provision(topology)


async def test_an_account_without_jetstream_says_so_at_once(tmp_path: Path) -> None:
    extra = "accounts: {A: {users: [{user: a, password: a}]}}"
    with run_server(tmp_path, extra=extra) as server:
        async with replica(Topology(), server, identity=Identity(user="a", password="a")) as one:
            with fail_after(5), pytest.raises(BackendError, match="JetStream is not enabled for this account"):
                await one.provision(Topology(), Limits())


async def test_a_user_who_may_not_create_is_told_so_at_once(tmp_path: Path) -> None:
    permissions = '{publish: {deny: ["$JS.API.STREAM.CREATE.>"]}}'
    extra = f"authorization: {{users: [{{user: a, password: a, permissions: {permissions}}}]}}"
    with run_server(tmp_path, extra=extra) as server:
        async with replica(Topology(), server, identity=Identity(user="a", password="a")) as one:
            with fail_after(5), pytest.raises(PermissionDenied, match="KV_SCHEDULER_LOCKS"):
                await one.provision(Topology())


async def test_a_phase_that_takes_too_long_is_named(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        async with replica(Topology(), server) as one:
            server.pause()
            with fail_after(5), pytest.raises(Unavailable, match="to wait for JetStream took longer than 1 s"):
                await one.provision(Topology())
            server.resume()


async def test_an_outage_in_the_middle_is_waited_out(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(30):
        async with replica(Topology(), server) as one, create_task_group() as tasks:
            server.kill()
            tasks.start_soon(server.start_async)
            assert len(await one.provision(Topology(), Limits())) == 6


# A cluster.


async def test_a_cluster_replicates_all_of_it_and_stands_the_loss_of_a_leader(tmp_path: Path) -> None:
    once_only, replicated = Topology(queues=("default", "mail")), Topology(queues=("default", "mail"), replicas=3)
    async with run_cluster(tmp_path) as nodes, replica(once_only, *nodes) as one:
        with fail_after(40):
            assert len(await one.provision(once_only)) == 7
            changes = await one.provision(replicated)
            assert [type(change) for change in changes] == [Update] * 4
            await _until_copied(one.connection, replicated)
            leader = (await call(one.connection, f"STREAM.INFO.{replicated.names.stream}"))["cluster"]["leader"]
        (lost,) = [node for node in nodes if node.options.name == leader]
        lost.kill()
        with fail_after(40):
            assert await one.provision(replicated, Limits()) == ()
            await _eventually(lambda: provision_consumer(one.connection, replicated, "more"))
            await _eventually(lambda: one.backend.locks.create("still", b"works", ttl=TTL))


async def test_ten_at_once_on_a_cluster_make_one_topology(tmp_path: Path) -> None:
    topology = Topology(replicas=3)
    made: list[Change] = []
    async with run_cluster(tmp_path) as nodes:

        async def take_part(number: int) -> None:
            async with replica(topology, nodes[number % 3], name=f"replica{number}") as one:
                made.extend(await one.provision(topology, Limits()))

        with fail_after(60):
            async with create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(take_part, number)
            async with replica(topology, *nodes) as one:
                assert await one.provision(topology) == ()
                assert None not in (await configs(one.connection, topology)).values()
    titles = [change.asset.title for change in made]
    assert sorted(set(titles)) == sorted(asset.title for asset in topology.assets())


async def _timed(one: Replica, topology: Topology) -> float:
    started = time.perf_counter()
    assert await one.provision(topology) == ()
    return time.perf_counter() - started


async def _until_copied(connection: Connection, topology: Topology) -> None:
    """Wait until everything has a leader and all its copies, each of them current; consumers follow later."""
    for asset in topology.assets():
        verb = "STREAM.INFO" if asset.kind == "stream" else f"CONSUMER.INFO.{asset.stream}"
        while True:
            if await _is_whole(connection, f"{verb}.{asset.name}", topology.replicas):
                break
            await anyio.sleep(0.05)


async def _is_whole(connection: Connection, verb: str, copies: int) -> bool:
    try:
        cluster = (await call(connection, verb, timeout=1)).get("cluster", {})
    except Unavailable:
        return False
    followers = cluster.get("replicas", ())
    return bool(cluster.get("leader")) and 1 + len(followers) == copies and all(one["current"] for one in followers)


async def _eventually(attempt: Callable[[], Awaitable[object]]) -> None:
    """Try again while NATS does not answer, as a replica does; the caller limits it."""
    while True:
        try:
            await attempt()
        except Unavailable:
            await anyio.sleep(0.05)
        else:
            return


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
