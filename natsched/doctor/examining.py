"""One examination: every check by itself, so that one that fails hides no other."""

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

from natsched.clock import SystemClock
from natsched.config import Settings
from natsched.doctor import assets, contents, servers
from natsched.doctor.findings import Finding, problem, unknown
from natsched.doctor.patient import Patient
from natsched.errors import NatschedError, PermissionDenied
from natsched.jetstream.backend import JetStreamBackend
from natsched.wiring import open_connection, topology_of

Check: TypeAlias = Callable[[Patient], AsyncIterator[Finding]]

OF_SERVER: Final[tuple[Check, ...]] = (servers.server, servers.user, servers.durability)
OF_ASSETS: Final[tuple[Check, ...]] = (assets.limits, assets.assets)
OF_CONTENTS: Final[tuple[Check, ...]] = (
    servers.clock,
    assets.strangers,
    contents.replicas,
    contents.documents,
    contents.strays,
    contents.deliveries,
    contents.records,
)
"""Those that need what is provisioned."""


async def examine(settings: Settings, *, monitoring: str | None = None) -> list[Finding]:
    """Look at all there is, through the connection that the settings say; nothing is changed or created.

    `monitoring` is the URL of the server's monitoring port. Errors are findings, too.
    """
    try:
        async with open_connection(settings) as connection:
            topology = topology_of(settings)
            async with JetStreamBackend(connection, topology.names) as backend:
                patient = Patient(
                    settings=settings,
                    connection=connection,
                    backend=backend,
                    topology=topology,
                    clock=SystemClock(),
                    monitoring=monitoring,
                )
                return [finding async for finding in _examined(patient)]
    except NatschedError as error:
        return [problem("connection", error.message, "see that the server is up, and who natsched says it is")]


async def _examined(patient: Patient) -> AsyncIterator[Finding]:
    for check in (*OF_SERVER, *OF_ASSETS):
        async for finding in _guarded(check, patient):
            yield finding
    if await _may_be_there(patient):
        for check in OF_CONTENTS:
            async for finding in _guarded(check, patient):
                yield finding


async def _may_be_there(patient: Patient) -> bool:
    """Whether to look at contents; what fails here was told of by the check of the assets."""
    try:
        return all((await assets.answers_of(patient)).values())
    except PermissionDenied:
        return True
    except NatschedError:
        return False


async def _guarded(check: Check, patient: Patient) -> AsyncIterator[Finding]:
    name = check.__name__
    try:
        async for finding in check(patient):
            yield finding
    except PermissionDenied as error:
        yield unknown(name, f"this user may not ask ({error.details.get('subject', error)})")
    except NatschedError as error:
        yield problem(name, error.message, "try again; if it stays, see the server's log")
