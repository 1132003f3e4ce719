"""What leases say, from one version to the next: a replica of today reads those of version 1 and says all of it."""

import json
from pathlib import Path

from natsched.core.jobs import LeaseId
from natsched.protocol.leases import Living, replicas, serving, zone_data
from natsched.protocol.telling import LEASES
from tests.daemon.harness import World, in_a_world

GOLDEN = Path(__file__).parents[1] / "core" / "golden" / "lease.v1.json"


@in_a_world
async def test_a_lease_of_version_1_is_read_today(world: World) -> None:
    await world.backend.locks.create("lease.r1.1", GOLDEN.read_bytes(), ttl=world.options.lease_ttl)
    (found,) = await replicas(world.backend.locks)
    assert found == Living(
        lease=LeaseId("lease.r1.1"),
        name="r1",
        is_primary=False,
        queues={"default": 1000, "mail": 5},
        running={"default": 3, "mail": 0},
        natsched="0.1.0",
        tzdata="2026.1",
    )
    assert await serving(world.backend.locks, "mail") == {LeaseId("lease.r1.1")}
    assert await zone_data(world.backend.locks) == {"2026.1": ("r1",)}


@in_a_world
async def test_a_lease_of_today_says_what_version_1_reads(world: World) -> None:
    await world.start()
    (said,) = (json.loads(value) for value in (await world.backend.locks.list(LEASES)).values())
    assert said.keys() >= json.loads(GOLDEN.read_bytes()).keys()
