"""The JSON API: every operation of the client, under one version."""

from typing import Final

from starlette.routing import Route

from natsched.web import events, executions, jobs, openapi, replicas, sessions
from natsched.web.guarding import Guard
from natsched.web.operations import Operation
from natsched.web.site import Site

OPERATIONS: Final[tuple[Operation, ...]] = (*jobs.OPERATIONS, *executions.OPERATIONS, *replicas.OPERATIONS)
OPEN: Final = (sessions.PATH,)


def routes(site: Site, guard: Guard) -> list[Route]:
    """Return the routes of all operations."""
    operations = [operation.route(site) for operation in OPERATIONS]
    return [*openapi.routes(OPERATIONS), *sessions.routes(guard), *events.routes(site), *operations]
