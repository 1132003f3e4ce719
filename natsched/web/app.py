"""The application: all routes behind one gate."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from natsched.errors import NatschedError
from natsched.web import api, dashboard, gauges, health
from natsched.web.failing import Refused, handle
from natsched.web.guarding import Gate, Guard
from natsched.web.limiting import Limit
from natsched.web.site import Site


def build_app(site: Site) -> ASGIApp:
    """Return the application."""
    guard = Guard(site.http, site.clock, (*health.PATHS, *api.OPEN, *dashboard.OPEN))
    return Starlette(
        routes=[
            *health.routes(site),
            *gauges.routes(site),
            *api.routes(site, guard),
            *dashboard.routes(site, guard),
        ],
        middleware=[Middleware(Gate, guard, dashboard.DOOR), Middleware(Limit)],
        exception_handlers=dict.fromkeys((Refused, NatschedError, TimeoutError, 404, 405, Exception), handle),
    )
