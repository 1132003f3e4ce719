"""What the buttons do. Each answers with the way back to the page that it is on."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from natsched.config.durations import Duration
from natsched.config.fields import Section
from natsched.web.dashboard.rendering import Renderer, address, body, read


class Pause(Section):
    """For how long, and why."""

    span: Duration | None = None
    reason: str | None = None


class Cancel(Section):
    """Why."""

    reason: str | None = None


def routes(renderer: Renderer) -> list[Route]:
    """Return the routes of the buttons."""
    site = renderer.site
    client = site.client

    async def pause(request: Request) -> Response:
        asked = read(Pause, await body(request))
        until = None if asked.span is None or asked.span <= timedelta(0) else site.clock.now() + asked.span
        await client.pause_job(request.path_params["job"], until=until, reason=asked.reason)
        return _to_job(request, "paused")

    async def resume(request: Request) -> Response:
        await client.resume_job(request.path_params["job"])
        return _to_job(request, "resumed")

    async def trigger(request: Request) -> Response:
        await client.trigger_job(request.path_params["job"])
        return _to_job(request, "triggered")

    async def cancel(request: Request) -> Response:
        asked = read(Cancel, await body(request))
        await client.cancel_execution(*_which(request), reason=asked.reason)
        return _to_execution(request, "cancelled")

    async def retry(request: Request) -> Response:
        await client.retry_execution(*_which(request))
        return _to_execution(request, "retried")

    return [
        renderer.action("/jobs/{job}/pause", pause),
        renderer.action("/jobs/{job}/resume", resume),
        renderer.action("/jobs/{job}/trigger", trigger),
        renderer.action("/executions/{job}/{execution}/cancel", cancel),
        renderer.action("/executions/{job}/{execution}/retry", retry),
    ]


def _which(request: Request) -> tuple[str, str]:
    return request.path_params["job"], request.path_params["execution"]


def _to_job(request: Request, said: str) -> Response:
    return RedirectResponse(address("/jobs", request.path_params["job"], said=said), 303)


def _to_execution(request: Request, said: str) -> Response:
    return RedirectResponse(address("/executions", *_which(request), said=said), 303)
