"""`ports.Backend.server_time`: the server's clock, which all instants are by."""

from datetime import UTC, datetime, timedelta

import pytest

from natsched.clock import SystemClock
from natsched.ports import Backend

pytestmark = pytest.mark.anyio


async def test_the_server_on_this_machine_has_this_machines_time(backend: Backend) -> None:
    before = SystemClock().now()
    now = await backend.server_time()
    after = SystemClock().now()
    tolerance = timedelta(milliseconds=50)
    assert before - tolerance <= now <= after + tolerance
    assert now.tzinfo is UTC


async def test_the_servers_time_never_goes_back(backend: Backend) -> None:
    times: list[datetime] = [await backend.server_time() for _ in range(20)]
    assert times == sorted(times)
