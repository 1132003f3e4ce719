"""The versions of nats-server: too old ones are refused, the others pass, on their defaults and a coming one."""

from pathlib import Path

import pytest

from natsched import ExecutionStatus, Interval, ServerTooOld
from tests.cli.running import finished
from tests.e2e.conftest import connected
from tests.e2e.journal import Journal
from tests.e2e.processes import fleet, until
from tests.servers import TOO_OLD, run_server, server_binary

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TOLD = "natsched needs 2.12 or newer"


async def test_a_server_of_2_11_is_refused_with_its_cure(tmp_path: Path) -> None:
    with run_server(tmp_path, server_binary(TOO_OLD)) as server, fleet(tmp_path, server.url) as replicas:
        replica = replicas.launch("a")
        assert await replica.ended() == 3
        last = replica.tail().splitlines()[-1]
        assert last.startswith("error: ")
        assert f"nats-server {TOO_OLD}" in last
        assert TOLD in last
        assert "Traceback" not in replica.log.read_text()
        with pytest.raises(ServerTooOld, match=TOLD):
            async with connected(server.url):
                pass
        asked = finished(tmp_path, "--server", server.url, "job", "list")
        assert (asked.code, asked.out) == (3, "")
        assert asked.err.startswith(f"error: The server is nats-server {TOO_OLD}, {TOLD}")
        assert "upgrade it" in asked.err


@pytest.mark.parametrize(
    ("version", "warned", "extra"),
    [
        ("2.12.0", True, ""),
        ("2.12.8", True, ""),
        ("2.14.6", False, ""),
        (None, False, ""),
        (None, False, "feature_flags { js_ack_fc_v2: true }"),
    ],
    ids=["2.12.0", "2.12.8", "2.14.6", "installed", "installed with js_ack_fc_v2"],
)
async def test_a_server_of_2_12_or_newer_passes(
    tmp_path: Path, journal: Journal, version: str | None, warned: bool, extra: str
) -> None:
    binary = None if version is None else server_binary(version)
    with run_server(tmp_path, binary, extra=extra) as server, fleet(tmp_path, server.url) as replicas:
        (a, b) = await replicas.start("a", "b")
        assert [bool(replica.lines("check_version")) for replica in (a, b)] == [warned] * 2
        async with connected(server.url) as client:
            await client.ensure_job("tick", Interval(seconds=1), handler="work")
            await client.ensure_job("asked", Interval(hours=1), handler="work")
            handle = await client.trigger_job("asked", payload={"lasts": 0.1})
            record = await handle.wait(5)
            assert (record.status, record.manual) == (ExecutionStatus.OK, True)
            await until(lambda: len(journal.ended("tick")) >= 3, "it fires", 8)
            await client.pause_job("tick")
            await client.remove_job("asked")
            a.kill()
            b.kill()
    journal.check()
    assert max(journal.lags("tick").values()) < 0.5
    print(f"{version or 'installed'} {extra}: lag {max(journal.lags('tick').values()):.4f} s")
