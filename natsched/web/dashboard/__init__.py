"""The dashboard: pages that a replica renders. They work without scripts, and need nothing from elsewhere."""

from typing import Final

from starlette.routing import Route

from natsched.web.dashboard import acting, assets, entering, executions, jobs, replicas
from natsched.web.dashboard.rendering import DOOR, Renderer
from natsched.web.guarding import Guard
from natsched.web.site import Site

OPEN: Final = (DOOR, *assets.PATHS)
"""What needs no token: the way in, and how it looks."""

__all__ = ["DOOR", "OPEN", "routes"]


def routes(site: Site, guard: Guard) -> list[Route]:
    """Return the routes of all pages."""
    renderer = Renderer(site, guard)
    return [
        *assets.routes(),
        *entering.routes(renderer, guard),
        *jobs.routes(renderer),
        *executions.routes(renderer),
        *replicas.routes(renderer),
        *acting.routes(renderer),
    ]
