import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import nats.errors
import pytest
from anyio import Event, create_task_group, current_time, fail_after
from nats.aio.client import Server
from nats.aio.msg import Msg

from natsched.errors import BackendError, ConfigError, PermissionDenied, Unavailable
from natsched.jetstream.api import call
from natsched.jetstream.client import Backoff
from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.identity import Identity, Tls
from natsched.jetstream.server import EmbeddedServer
from tests.jetstream.identities import make_key, make_operator
from tests.servers import free_ports, options_for, run_server, shared_server, unique_prefix

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TLS = Path(__file__).parent / "tls"


async def test_it_connects_and_knows_the_server() -> None:
    with fail_after(10):
        async with connect(options_for(shared_server())) as connection:
            assert connection.is_connected
            assert connection.server_version.count(".") == 2
            await call(connection, "INFO")
        assert not connection.is_connected


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with fail_after(10), pytest.raises(KeyError, match="mine"):
        async with connect(options_for(shared_server())):
            raise KeyError("mine")


# The first connection.


async def test_without_a_server_it_gives_up_in_time_and_says_the_cure_but_no_secret() -> None:
    (port,) = free_ports(1)
    options = ConnectionOptions(servers=(f"nats://me:s3cret@127.0.0.1:{port}",), ready_timeout=timedelta(seconds=0.5))
    with fail_after(5), pytest.raises(Unavailable, match="natsched dev") as raised:
        async with connect(options):
            pass
    assert f"nats://127.0.0.1:{port}" in str(raised.value)
    assert "s3cret" not in str(raised.value)


async def test_it_waits_for_a_server_that_comes_late(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        server.stop()
        async with create_task_group() as tasks:
            tasks.start_soon(_start_later, server)
            async with connect(options_for(server)) as connection:
                assert connection.is_connected


async def test_a_wrong_password_is_refused_at_once(tmp_path: Path) -> None:
    with run_server(tmp_path, extra="authorization: {user: me, password: right}") as server, fail_after(5):
        wrong = options_for(
            server, identity=Identity(user="me", password="wrong"), ready_timeout=timedelta(minutes=5)
        )
        with pytest.raises(PermissionDenied, match="credentials"):
            async with connect(wrong):
                pass


async def test_each_identity_is_let_in(tmp_path: Path) -> None:
    seed, public = make_key()
    (tmp_path / "user.nk").write_text(f"{seed}\n")
    operator = make_operator()
    (tmp_path / "user.creds").write_text(operator.credentials)
    cases = {
        "authorization: {user: me, password: right}": Identity(user="me", password="right"),
        "authorization: {token: t0ken}": Identity(token="t0ken"),
        f"authorization: {{users: [{{nkey: {public}}}]}}": Identity(nkey=tmp_path / "user.nk"),
        operator.config: Identity(credentials=tmp_path / "user.creds"),
    }
    for number, (extra, identity) in enumerate(cases.items()):
        with run_server(tmp_path / str(number), extra=extra) as server, fail_after(10):
            async with connect(options_for(server, identity=identity)) as connection:
                await connection.nc.flush()
            with pytest.raises(PermissionDenied):
                async with connect(options_for(server)):
                    pass


@pytest.mark.parametrize("kind", ["credentials", "nkey"])
async def test_a_file_that_holds_no_identity_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "empty"
    path.write_text("nothing\n")
    options: Any = {kind: path}
    with fail_after(5), pytest.raises(ConfigError, match=f"The {kind} file .*empty cannot be used"):
        async with connect(options_for(shared_server(), identity=Identity(**options))):
            pass


async def test_it_speaks_tls_and_shows_its_certificate(tmp_path: Path) -> None:
    files = f'cert_file: "{TLS}/cert.pem", key_file: "{TLS}/key.pem", ca_file: "{TLS}/ca.pem", verify: true'
    with run_server(tmp_path, extra=f"tls: {{{files}}}") as server, fail_after(10):
        tls = Tls(ca=TLS / "ca.pem", cert=TLS / "cert.pem", key=TLS / "key.pem")
        async with connect(options_for(server, tls=tls)) as connection:
            await call(connection, "INFO")
        with pytest.raises(BackendError, match=r"not trusted.*nats\.tls\.ca"):
            async with connect(options_for(server)):
                pass


async def test_where_tls_is_wanted_nothing_is_sent_in_the_clear() -> None:
    with fail_after(5), pytest.raises(BackendError, match="the server does not offer it"):
        async with connect(options_for(shared_server(), tls=Tls(ca=TLS / "ca.pem"))):
            pass


# Requests.


async def test_a_denied_request_says_so_at_once(tmp_path: Path) -> None:
    permissions = '{publish: {deny: ["$JS.API.STREAM.>"]}}'
    extra = f"authorization: {{users: [{{user: me, password: x, permissions: {permissions}}}]}}"
    with run_server(tmp_path, extra=extra) as server, fail_after(3):
        identity = Identity(user="me", password="x")
        async with connect(options_for(server, identity=identity)) as connection:
            with pytest.raises(PermissionDenied, match=r"STREAM\.INFO\.X"):
                await call(connection, "STREAM.INFO.X")
            await call(connection, "INFO")


async def test_a_denied_inbox_denies_every_request(tmp_path: Path) -> None:
    permissions = '{subscribe: {allow: ["mine.>"]}}'
    extra = f"authorization: {{users: [{{user: me, password: x, permissions: {permissions}}}]}}"
    identity = Identity(user="me", password="x")
    with run_server(tmp_path, extra=extra) as server, fail_after(5):
        async with connect(options_for(server, identity=identity)) as connection:
            with pytest.raises(PermissionDenied, match=r"below _INBOX: set `nats\.inbox_prefix`"):
                await call(connection, "INFO")
        async with connect(options_for(server, identity=identity, inbox_prefix="mine")) as connection:
            await call(connection, "INFO")


async def test_a_request_does_not_outlive_the_connection(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(10):
        async with connect(options_for(server)) as connection, create_task_group() as tasks:
            name = unique_prefix()
            heard = Event()
            await connection.nc.subscribe(name, cb=_set(heard))
            await connection.nc.flush()
            tasks.start_soon(_kill_after, server, heard)
            started = current_time()
            with pytest.raises(Unavailable, match="broke before the answer"):
                await connection.request(name, timeout=60)
            assert current_time() - started < 5


async def test_nobody_answering_is_unavailable() -> None:
    with fail_after(5):
        async with connect(options_for(shared_server())) as connection:
            with pytest.raises(Unavailable, match="no responders"):
                await connection.request(unique_prefix())


def test_a_domain_has_its_own_api() -> None:
    assert Connection(ConnectionOptions(domain="hub")).api_prefix == "$JS.hub.API"
    assert Connection(ConnectionOptions()).api_prefix == "$JS.API"


# Reconnecting.


async def test_it_reconnects_and_keeps_subscriptions_and_what_was_published_meanwhile(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server)) as connection:
            lost, heard = Event(), Event()
            connection.on_disconnect(lost.set)
            await connection.nc.subscribe("news", cb=_set(heard))
            server.kill()
            await lost.wait()
            assert not connection.is_connected
            await connection.nc.publish("news", b"published in the outage")
            await server.start_async()
            await connection.wait_connected()
            await heard.wait()
            assert connection.reconnects == 1


async def test_a_callback_that_fails_does_not_end_reconnecting(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server)) as connection:
            back = Event()
            connection.on_disconnect(_fail)
            connection.on_reconnect(_fail)
            connection.on_reconnect(back.set)
            server.restart()
            await back.wait()
            await call(connection, "INFO")


async def test_a_callback_can_be_taken_back(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server)) as connection:
            gone, back = Event(), Event()
            connection.on_reconnect(gone.set)()
            connection.on_reconnect(back.set)
            server.restart()
            await back.wait()
            assert not gone.is_set()


async def test_it_lives_on_after_the_server_threw_it_out(tmp_path: Path) -> None:
    """nats-py closes for good when the server reports an error, here a payload that is too large."""
    with run_server(tmp_path, extra="max_payload: 1024") as server, fail_after(20):
        async with connect(options_for(server)) as connection:
            back = Event()
            connection.on_reconnect(back.set)
            heard = Event()
            await connection.nc.subscribe("news", cb=_set(heard))
            connection.nc._max_payload = 1 << 20
            await connection.nc.publish("big", b"x" * 4096)
            await back.wait()
            await connection.nc.publish("news", b"to the subscription of before")
            await heard.wait()


async def test_it_lives_on_when_its_user_is_taken_away_and_given_back(tmp_path: Path) -> None:
    allowed, taken = "{users: [{user: me, password: x}]}", "{users: [{user: you, password: x}]}"
    with run_server(tmp_path, extra=f"authorization: {allowed}") as server, fail_after(20):
        identity = Identity(user="me", password="x")
        async with connect(options_for(server, identity=identity)) as connection:
            lost, back = Event(), Event()
            connection.on_disconnect(lost.set)
            connection.on_reconnect(back.set)
            _reload(server, allowed, taken)
            await lost.wait()
            _reload(server, taken, allowed)
            await back.wait()
            await call(connection, "INFO")


async def test_it_lives_on_after_an_exception_in_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py's reader ends at any unexpected exception, and the client still says that it is connected."""
    with fail_after(20):
        async with connect(options_for(shared_server())) as connection:
            back = Event()
            connection.on_reconnect(back.set)
            parse = connection.nc._ps.parse

            async def poisoned(_data: bytes = b"") -> None:
                monkeypatch.setattr(connection.nc._ps, "parse", parse)
                raise ValueError("poison")

            monkeypatch.setattr(connection.nc._ps, "parse", poisoned)
            await connection.nc.publish("any")
            with pytest.raises((nats.errors.Error, TimeoutError)):
                await connection.nc.rtt(timeout=1)
            await back.wait()
            await call(connection, "INFO")


async def test_it_lives_on_after_an_exception_while_reconnecting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server)) as connection:
            back = Event()
            connection.on_reconnect(back.set)
            command = connection.nc._connect_command

            def poisoned() -> bytes:
                monkeypatch.setattr(connection.nc, "_connect_command", command)
                raise ValueError("poison")

            monkeypatch.setattr(connection.nc, "_connect_command", poisoned)
            server.restart()
            await back.wait()
            await call(connection, "INFO")


async def test_a_late_pong_does_not_end_the_connection(tmp_path: Path) -> None:
    """nats-py's `rtt` cancels its future when it gives up; the pong that still comes then kills the reader."""
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server, ping_interval=timedelta(seconds=30))) as connection:
            server.pause()
            with pytest.raises(nats.errors.TimeoutError):
                await connection.nc.rtt(timeout=0.05)  # type: ignore[arg-type]
            back = Event()
            connection.on_reconnect(back.set)
            server.resume()
            await back.wait()
            await call(connection, "INFO")


async def test_a_half_open_connection_is_found_within_two_pings_and_replaced(tmp_path: Path) -> None:
    """nats-py itself takes three."""
    with run_server(tmp_path) as server, fail_after(20):
        options = options_for(server, ping_interval=timedelta(seconds=1), connect_timeout=timedelta(seconds=0.5))
        async with connect(options) as connection:
            lost = Event()
            connection.on_disconnect(lost.set)
            server.pause()
            started = current_time()
            await lost.wait()
            assert current_time() - started < 2.7
            server.resume()
            await connection.wait_connected()
            await call(connection, "INFO")


async def test_data_that_a_dead_server_did_not_take_do_not_hold_up_the_reconnect(tmp_path: Path) -> None:
    """nats-py waits for them without a limit before it reconnects."""
    with run_server(tmp_path) as server, fail_after(20):
        options = options_for(server, ping_interval=timedelta(seconds=0.5), connect_timeout=timedelta(seconds=0.5))
        async with connect(options) as connection:
            lost = Event()
            connection.on_disconnect(lost.set)
            server.pause()
            for _ in range(30):
                await connection.nc.publish("big", b"x" * 1_000_000)
            await lost.wait()
            server.resume()
            await connection.wait_connected()
            await call(connection, "INFO")


async def test_a_reconnecting_that_died_is_begun_again(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server, ping_interval=timedelta(seconds=0.5))) as connection:
            lost = Event()
            connection.on_disconnect(lost.set)
            server.kill()
            await lost.wait()
            assert connection.nc._reconnection_task is not None
            connection.nc._reconnection_task.cancel()
            await server.start_async()
            await connection.wait_connected()
            await call(connection, "INFO")


async def test_a_slow_server_is_not_left(tmp_path: Path) -> None:
    with run_server(tmp_path) as server, fail_after(20):
        async with connect(options_for(server, ping_interval=timedelta(seconds=1))) as connection:
            server.pause()
            assert not await connection.nc.answers(0.2)
            server.resume()
            assert await connection.nc.answers(5)
            assert connection.reconnects == 0


def test_the_servers_take_turns_and_each_round_waits_longer_up_to_the_limit() -> None:
    backoff = Backoff(1.0, first_delay=0.1)
    servers = [Server(uri=None), Server(uri=None)]  # type: ignore[arg-type]
    chosen = [backoff.choose(servers, {}) for _ in range(40)]
    assert all(server is servers[turn % 2] for turn, (server, _) in enumerate(chosen))
    for turn, (_, delay) in enumerate(chosen):
        longest = min(1.0, 0.1 * 2 ** (turn // 2))
        assert longest / 2 <= delay <= longest
    backoff.reset()
    assert backoff.choose(servers, {})[1] <= 0.1


def test_secrets_do_not_show() -> None:
    options = ConnectionOptions(identity=Identity(user="me", password="s3cret", token="t0ken"))
    assert "s3cret" not in repr(options)
    assert "t0ken" not in repr(options)


def _set(event: Event) -> Callable[[Msg], Awaitable[None]]:
    async def callback(_message: Msg) -> None:
        event.set()

    return callback


def _fail() -> None:
    raise RuntimeError("a callback that fails")


async def _kill_after(server: EmbeddedServer, event: Event) -> None:
    await event.wait()
    server.kill()


async def _start_later(server: EmbeddedServer) -> None:
    await anyio.sleep(0.3)  # the first tries must fail
    await server.start_async()


def _reload(server: EmbeddedServer, old: str, new: str) -> None:
    config = server.options.store / "nats-server.conf"
    config.write_text(config.read_text().replace(old, new))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGHUP)
