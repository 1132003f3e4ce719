"""A session of a browser, which shows the token once and a cookie from then on: event streams take no header."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.config.fields import Section
from natsched.web.failing import Refused, failure
from natsched.web.guarding import COOKIE, SESSION, Guard
from natsched.web.operations import PREFIX, read_body

PATH: Final = f"{PREFIX}/session"


class Login(Section):
    """The token."""

    token: str


def routes(guard: Guard) -> list[Route]:
    """Return the routes that begin and end a session."""

    async def begin(request: Request) -> Response:
        try:
            login = await read_body(Login, request)
        except Exception as error:  # noqa: BLE001 - answered
            return failure(error)
        if not guard.knows(login.token):
            return failure(Refused(401, "this is not the token"))
        return let_in(request, Response(status_code=204), guard)

    async def end(_: Request) -> Response:
        return let_go(Response(status_code=204))

    return [Route(PATH, begin, methods=["POST"]), Route(PATH, end, methods=["DELETE"])]


def let_in(request: Request, response: Response, guard: Guard) -> Response:
    """Begin a session with a response."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, guard.session(), max_age=SESSION, httponly=True, samesite="strict", secure=secure)
    return response


def let_go(response: Response) -> Response:
    """End the session with a response."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
