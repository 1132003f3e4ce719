"""The application: all routes behind one gate."""

from collections.abc import Collection, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from natsched.errors import NatschedError
from natsched.web import api, gauges, health
from natsched.web.failing import Refused, handle
from natsched.web.guarding import Gate, Guard
from natsched.web.limiting import Limit
from natsched.web.site import Site


def build_app(site: Site, pages: Sequence[BaseRoute] = (), open_to_all: Collection[str] = ()) -> ASGIApp:
    """Return the application; `pages` are served besides, those of `open_to_all` without a token."""
    guard = Guard(site.http, site.clock, (*health.PATHS, *api.OPEN, *open_to_all))
    return Starlette(
        routes=[*health.routes(site), *gauges.routes(site), *api.routes(site, guard), *pages],
        middleware=[Middleware(Gate, guard), Middleware(Limit)],
        exception_handlers=dict.fromkeys((Refused, NatschedError, TimeoutError, 404, 405, Exception), handle),
    )
