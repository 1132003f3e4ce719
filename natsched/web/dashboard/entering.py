"""The way in and out where a token is set, and how a viewer wants the pages to look."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from natsched.web.dashboard.rendering import DOOR, THEME, THEMES, Renderer, body
from natsched.web.guarding import Guard
from natsched.web.sessions import let_go, let_in

_YEAR = 365 * 24 * 3600


def routes(renderer: Renderer, guard: Guard) -> list[Route]:
    """Return the routes of the way in and out."""

    async def door(request: Request) -> Response:
        way = _local(request.query_params.get("next", "/"))
        if guard.admits(request.headers):
            return RedirectResponse(way, 303)
        return renderer.page(request, "login.html", way=way, wrong=False)

    async def enter(request: Request) -> Response:
        given = await body(request)
        way = _local(given.get("next", "/"))
        if not guard.knows(given.get("token", "").strip()):
            return renderer.page(request, "login.html", status=401, way=way, wrong=True)
        return let_in(request, RedirectResponse(way, 303), guard)

    async def leave(_: Request) -> Response:
        return let_go(RedirectResponse(DOOR, 303))

    async def dress(request: Request) -> Response:
        given = await body(request)
        response = RedirectResponse(_local(given.get("next", "/")), 303)
        theme = given.get("theme", "")
        response.set_cookie(THEME, theme if theme in THEMES else "auto", max_age=_YEAR, httponly=True, samesite="lax")
        return response

    return [
        renderer.route(DOOR, door),
        renderer.action(DOOR, enter),
        renderer.action("/logout", leave),
        renderer.action("/theme", dress),
    ]


def _local(way: str) -> str:
    """Return a way within this server: whoever made the link may have meant another one."""
    parts = urlsplit(way)
    if parts.scheme or parts.netloc or not way.startswith("/") or way.startswith(("//", "/\\")) or "\\" in way:
        return "/"
    return way
