"""The probes: when a replica works, and when only a new start would help."""

from dataclasses import dataclass
from typing import Any

import pytest

from natsched.web.health import why_not_healthy, why_not_ready
from tests.daemon.harness import World, in_a_world
from tests.web.harness import make_condition, web


@dataclass(frozen=True)
class _Link:
    is_connected: bool = True
    reconnects: int = 0


@pytest.mark.parametrize(
    ("changes", "connected", "reasons"),
    [
        ({}, True, []),
        ({"is_serving": False}, True, ["it starts"]),
        ({"is_serving": False, "is_stopping": True}, True, ["it stops"]),
        ({"is_stopping": True}, True, ["it stops"]),
        ({"is_leased": False}, True, ["its lease is not held"]),
        ({"silent_for": None}, True, ["the server's time is not known yet"]),
        ({"silent_for": 15.0}, True, []),
        ({"silent_for": 16.0}, True, ["NATS did not answer for 16 s"]),
        ({}, False, ["there is no connection to NATS"]),
        ({"is_leased": False}, False, ["its lease is not held", "there is no connection to NATS"]),
    ],
)
def test_it_is_ready_when_it_takes_what_is_due(changes: dict[str, Any], connected: bool, reasons: list[str]) -> None:
    assert list(why_not_ready(make_condition(**changes), _Link(connected))) == reasons


@pytest.mark.parametrize(
    ("changes", "connected", "healthy"),
    [
        ({}, True, True),
        ({"is_leased": False, "lost_for": 59.0}, True, True),
        ({"is_leased": False, "lost_for": 61.0}, True, False),
        ({"is_leased": False, "lost_for": 61.0}, False, True),
        ({"is_leased": False, "lost_for": 61.0, "silent_for": 61.0}, True, True),
        ({"is_serving": False, "is_leased": False, "silent_for": None}, True, True),
    ],
)
def test_it_is_healthy_unless_a_new_start_would_help(changes: dict[str, Any], connected: bool, healthy: bool) -> None:
    assert bool(list(why_not_healthy(make_condition(**changes), _Link(connected)))) is not healthy


@in_a_world
async def test_a_replica_becomes_ready_and_is_not_when_it_stops(world: World) -> None:
    takes = 5.0
    world.handler("h", takes=takes)
    member = await world.start()
    async with web(world, member.replica.condition) as one:
        ready = await one.http.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ok": True, "reasons": []})
        await one.put("/jobs/a", {"every": "1m", "handler": "h"})
        await one.post("/jobs/a/trigger")
        await world.clock.sleep(1)
        member.replica.stop()
        await world.clock.sleep(1)
        draining = await one.http.get("/readyz")
        assert (draining.status_code, draining.json()["reasons"]) == (503, ["it stops"])
        assert (await one.http.get("/healthz")).json() == {"ok": True, "reasons": []}
        await world.clock.sleep(takes)
        assert "its lease is not held" in (await one.http.get("/readyz")).json()["reasons"]
