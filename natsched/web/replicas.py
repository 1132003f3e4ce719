"""The operations on what is at work: the replicas that live, and the versions of this one."""

import json
from typing import Any, Final

from natsched.client.versions import versions
from natsched.daemon.leasing import primary
from natsched.protocol.telling import LEASES
from natsched.web.operations import Asked, Operation


async def list_replicas(asked: Asked) -> object:
    locks = asked.site.backend.locks
    first = await primary(locks)
    found = [_replica(key, value, is_primary=key == first) for key, value in (await locks.list(LEASES)).items()]
    return {"replicas": sorted(found, key=lambda replica: str(replica["lease"]))}


async def version(_: Asked) -> object:
    return versions()


def _replica(lease: str, value: bytes, *, is_primary: bool) -> dict[str, Any]:
    """Return what a lease says of its replica; a younger natsched may say more."""
    try:
        about = json.loads(value)
    except ValueError:
        about = {}
    said = about if isinstance(about, dict) else {}
    return {"replica": lease.split(".")[1], **said, "lease": lease, "primary": is_primary}


OPERATIONS: Final = (
    Operation(
        name="listReplicas",
        method="GET",
        path="/replicas",
        summary="List the replicas that live, and which is the primary one.",
        do=list_replicas,
        returns="Replicas",
    ),
    Operation(
        name="getVersion",
        method="GET",
        path="/version",
        summary="Tell the versions of natsched, nats-py, the zone data and Python.",
        do=version,
        returns="Versions",
    ),
)
