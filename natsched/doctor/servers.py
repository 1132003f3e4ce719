"""The server: its version, its clock, who we are there, and how it keeps what it acknowledged."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from natsched.daemon.timekeeping import FIRST_SAMPLES, LARGE, Timekeeper
from natsched.doctor.findings import Finding, ok, problem, unknown, warning
from natsched.doctor.patient import Patient
from natsched.doctor.permitting import Permissions, needed
from natsched.errors import BackendError, ServerTooOld
from natsched.jetstream.versions import check_version

_USER: Final = "$SYS.REQ.USER.INFO"
_SYNC: Final = 10.0
_NANOSECOND: Final = 1e-9


async def server(patient: Patient) -> AsyncIterator[Finding]:
    """Say what answers, and whether its version is known to lose anything."""
    connection = patient.connection
    about = connection.about
    began = patient.clock.monotonic()
    await connection.ping()
    trip = (patient.clock.monotonic() - began) * 1000
    cluster = f" of the cluster {about['cluster']}" if about.get("cluster") else ""
    yield ok("connection", f"{about.get('server_name', 'a server')}{cluster} answers in {trip:.2f} ms")
    version = connection.server_version
    try:
        known = check_version(version)
    except ServerTooOld as error:
        yield problem("version", f"nats-server {version} is too old", error.message)
        return
    if known is None:
        yield ok("version", f"nats-server {version}, which has no bug that natsched knows of")
    else:
        bugs, _, cure = known.rpartition(". ")
        yield warning("version", bugs, cure)


async def user(patient: Patient) -> AsyncIterator[Finding]:
    """Compare what this user may do with what natsched does."""
    data = json.loads((await patient.connection.request(_USER)).data).get("data", {})
    who = data.get("user") or "anybody"
    permissions = Permissions.read(data.get("permissions"))
    missing = {role: permissions.missing(subjects) for role, subjects in needed(patient.topology.names).items()}
    able = [role for role, subjects in missing.items() if not subjects]
    if able:
        yield ok("permissions", f"{who} of account {data.get('account')} may act as {' and '.join(able)}")
        return
    role, denied = min(missing.items(), key=lambda item: len(item[1]))
    shown = ", ".join(denied[:3]) + (f" and {len(denied) - 3} more" if len(denied) > 3 else "")
    yield problem(
        "permissions",
        f"{who} of account {data.get('account')} may not publish {shown}, as a {role} has to",
        "give it the permissions of a role of deploy/permissions.conf",
    )


async def clock(patient: Patient) -> AsyncIterator[Finding]:
    """Compare this clock with the server's, and go by the server's from here on, as replicas do."""
    timekeeper = Timekeeper(patient.backend, patient.clock)
    for _ in range(FIRST_SAMPLES):
        await timekeeper.sample()
    offset = patient.clock.offset()
    text = f"the server's clock is {offset.total_seconds() * 1000:+.1f} ms from this one"
    if abs(offset) <= LARGE:
        yield ok("clock", text)
    else:
        yield warning("clock", text, "let NTP set both; replicas go by the server's, so runs are on time by that")


async def durability(patient: Patient) -> AsyncIterator[Finding]:
    """See how often the server syncs to disk, which only its monitoring port tells."""
    if patient.monitoring is None:
        yield unknown(
            "sync_interval",
            "how often the server syncs to disk is told by its monitoring port alone",
            "--monitoring http://HOST:8222 asks it",
        )
        return
    config = (await _monitored(patient.monitoring, "varz")).get("jetstream", {}).get("config", {})
    if config.get("sync_always"):
        yield ok("sync_interval", "the server syncs each write before it acknowledges")
        return
    seconds = config.get("sync_interval", 0) * _NANOSECOND
    text = f"the server syncs to disk every {seconds:g} s"
    copies = patient.settings.scheduler.replicas
    if seconds <= _SYNC or copies > 1:
        yield ok("sync_interval", text + (f", and {copies} servers hold each write" if copies > 1 else ""))
    else:
        yield warning(
            "sync_interval",
            f"{text}: a power loss may lose what it acknowledged since",
            'set `sync_interval: "1s"` or `always` in its jetstream block, or run three servers and `replicas = 3`',
        )


async def _monitored(url: str, page: str) -> Mapping[str, Any]:
    import httpx

    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(f"{url.rstrip('/')}/{page}")
            answer.raise_for_status()
            found: Mapping[str, Any] = answer.json()
            return found
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise BackendError(f"the monitoring port at {url} does not answer ({error!r})") from error
