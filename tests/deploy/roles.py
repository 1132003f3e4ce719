"""The roles of `deploy/permissions.conf` on a real server, and what each of them did there."""

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from natsched.client.client import Client
from natsched.client.connecting import connect as connect_client
from natsched.config import load
from natsched.jetstream.connection import Connection, ConnectionOptions, connect
from natsched.jetstream.identity import Identity
from natsched.jetstream.server import EmbeddedServer, ServerOptions
from tests.cli.running import CHECKOUT, Process, started

DEPLOY = CHECKOUT / "deploy"
ROLES = ("admin", "replica", "runner", "client", "reader")
WORKER = "worker"
TENANTS = tuple(f"acme-{role}" for role in ROLES)
"""The same roles of another account."""

CALLER = "caller"
_PUBLISHED = re.compile(r'"NATSCHED/user:(\w+)" - <<- \[H?PUB (\S+) ')
_LINE = re.compile(r'\s+"(\S+)"$')
_SETTING = re.compile(r"^( *)#(?=\S)", re.MULTILINE)
_LIST = re.compile(r"([A-Z_]+): ")


def _variable(role: str) -> str:
    return f"NATS_{role.upper().replace('-', '_')}_PASSWORD"


def _password(role: str) -> str:
    return f"p{role.replace('-', '')}"


def inbox_of(role: str) -> str:
    """Return the inbox of a role, which is the same in each account."""
    return f"_INBOX_{role.removeprefix('acme-')}"


PASSWORDS = {_variable(role): _password(role) for role in ROLES}


@contextmanager
def run_deployed(folder: Path, extra: str = "", *, workers: bool = False) -> Iterator[EmbeddedServer]:
    """Run a server with the permissions, which notes what is said to it; `workers`: with what is commented out."""
    store = folder / "nats"
    store.mkdir()
    text = (DEPLOY / "permissions.conf").read_text()
    (store / "permissions.conf").write_text(_SETTING.sub(r"\1", text) if workers else text)
    options = ServerOptions(store=store, extra=f'include "./permissions.conf"\ntrace: true\n{extra}', stop_timeout=5)
    passwords = {**PASSWORDS, **{_variable(role): _password(role) for role in (WORKER, CALLER, *TENANTS)}}
    os.environ.update(passwords)
    try:
        with EmbeddedServer(options) as server:
            yield server
    finally:
        for name in passwords:
            del os.environ[name]


def variables(server: EmbeddedServer, role: str) -> dict[str, str]:
    """Return the environment of a natsched in this role, whose reconciler is in a hurry."""
    return {
        "NATSCHED_NATS__SERVERS": server.url,
        "NATSCHED_NATS__USER": role,
        "NATSCHED_NATS__PASSWORD": _password(role),
        "NATSCHED_NATS__INBOX_PREFIX": inbox_of(role),
        "NATSCHED_SCHEDULER__LEASE_TTL": "2s",
        "NATSCHED_SCHEDULER__RECONCILER_INTERVAL": "1s",
        "NATSCHED_SCHEDULER__RECONCILER_GRACE_PERIOD": "1s",
    }


@asynccontextmanager
async def client(
    server: EmbeddedServer, role: str, flags: Mapping[str, object] | None = None
) -> AsyncIterator[Client]:
    """Give a client that logged in as the role."""
    async with connect_client(settings=load(None, flags, variables(server, role))) as one:
        yield one


@asynccontextmanager
async def connection(server: EmbeddedServer, role: str) -> AsyncIterator[Connection]:
    """Give a bare connection that logged in as the role."""
    identity = Identity(user=role, password=_password(role))
    options = ConnectionOptions(servers=(server.url,), identity=identity, inbox_prefix=inbox_of(role))
    async with connect(options) as one:
        yield one


@contextmanager
def serving(folder: Path, server: EmbeddedServer, role: str) -> Iterator[Process]:
    """Run `natsched serve` as the role, with the handlers of `served.py`, and give it once it is ready."""
    http = {"NATSCHED_HTTP__ENABLED": "true", "NATSCHED_HTTP__PORT": "0"}
    with started(folder, "serve", "--app", "served:registry", **variables(server, role), **http) as process:
        process.until('"ready"', stderr=True)
        yield process


def published(server: EmbeddedServer) -> Mapping[str, set[str]]:
    """Return the subjects that each role published on since the server's log began."""
    subjects: dict[str, set[str]] = {role: set() for role in (*ROLES, WORKER, CALLER)}
    for role, subject in _PUBLISHED.findall(server.log_path.read_text()):
        subjects[role].add(subject)
    return subjects


def violations(server: EmbeddedServer) -> list[str]:
    """Return what the server denied."""
    return [line for line in server.log_path.read_text().splitlines() if "Violation" in line and "[ERR]" in line]


def allowed(name: str) -> list[str]:
    """Return the subjects that a list of the permissions has, by the name of the list."""
    subjects: list[str] = []
    current = ""
    for line in (DEPLOY / "permissions.conf").read_text().splitlines():
        if start := _LIST.match(line):
            current = start[1]
        elif current == name and (found := _LINE.match(line)):
            subjects.append(found[1])
    return subjects


def matches(pattern: str, subject: str) -> bool:
    """Say whether a subject falls under a pattern with the wildcards of NATS."""
    expression = re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+")
    return re.fullmatch(expression, subject) is not None
