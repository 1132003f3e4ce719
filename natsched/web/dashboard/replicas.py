"""The page of what is at work: the replicas, their places and leases, and what waits in the queues."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.client.versions import versions
from natsched.web.dashboard.rendering import Renderer
from natsched.web.health import why_not_ready


def routes(renderer: Renderer) -> list[Route]:
    """Return the route of the page."""
    site = renderer.site

    async def replicas(request: Request) -> Response:
        living = await site.client.replicas()
        condition = site.condition()
        backlog = await site.client.backlog()
        served = {queue for one in living for queue in one.queues}
        return renderer.page(
            request,
            "replicas.html",
            events="",
            living=living,
            condition=condition,
            reasons=list(why_not_ready(condition, site.link)),
            backlog=sorted(backlog.items()),
            unserved=sorted(set(backlog) - served),
            zones=sorted({one.tzdata for one in living if one.tzdata}),
            versions=versions(),
        )

    return [renderer.route("/replicas", replicas)]
