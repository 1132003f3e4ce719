"""The leases of the replicas that live, and what each says of itself there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from natsched.core.jobs import LeaseId
from natsched.ports import Locks
from natsched.protocol.telling import LEASES

PRIMARY: Final = "reconciler"
"""The lock that one replica holds; its value is that replica's lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """A replica that lives: what its lease said when it was last renewed.

    `queues` are those that it serves, each with its number of places, and `running` how many of these are taken.
    """

    lease: LeaseId
    name: str
    is_primary: bool
    queues: Mapping[str, int]
    running: Mapping[str, int]
    natsched: str | None
    tzdata: str | None


async def living(locks: Locks) -> frozenset[LeaseId]:
    """Return the leases that live, as far as whoever answers knows."""
    return frozenset(LeaseId(key) for key in await locks.list(LEASES))


async def replicas(locks: Locks) -> Sequence[Living]:
    """Return the replicas that live, by their names, as far as whoever answers knows."""
    first = await primary(locks)
    found = [_read(key, value, first) for key, value in (await locks.list(LEASES)).items()]
    return sorted(found, key=lambda one: (one.name, one.lease))


async def serving(locks: Locks, queue: str) -> frozenset[LeaseId]:
    """Return the leases of replicas that serve a queue, as far as whoever answers knows."""
    said = (await locks.list(LEASES)).items()
    return frozenset(LeaseId(key) for key, value in said if queue in _counts(_said(value).get("queues")))


async def primary(locks: Locks) -> LeaseId | None:
    """Return the lease of the replica that reconciles: of all replicas one, for as long as it lives."""
    found = await locks.get(PRIMARY)
    return None if found is None else LeaseId(found[0].decode(errors="replace"))


async def zone_data(locks: Locks) -> Mapping[str, tuple[str, ...]]:
    """Return the versions of the zone data that living replicas work with, and which replicas have each."""
    found: dict[str, tuple[str, ...]] = {}
    for value in (await locks.list(LEASES)).values():
        said = _said(value)
        if "tzdata" in said and "replica" in said:
            tzdata = str(said["tzdata"])
            found[tzdata] = (*found.get(tzdata, ()), str(said["replica"]))
    return found


async def is_alive(locks: Locks, lease: LeaseId) -> bool:
    """Ask the leader whether a lease lives."""
    return await locks.get(lease) is not None


def _read(lease: str, value: bytes, first: LeaseId | None) -> Living:
    said = _said(value)
    return Living(
        lease=LeaseId(lease),
        name=lease.split(".")[1] if "." in lease else lease,
        is_primary=lease == first,
        queues=_counts(said.get("queues")),
        running=_counts(said.get("running")),
        natsched=_text(said.get("natsched")),
        tzdata=_text(said.get("tzdata")),
    )


def _said(value: bytes) -> Mapping[str, Any]:
    """Read what a lease says; a younger natsched may say more, and anybody may write there."""
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _counts(value: object) -> Mapping[str, int]:
    items = value.items() if isinstance(value, dict) else ()
    return {name: number for name, number in items if isinstance(number, int)}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
