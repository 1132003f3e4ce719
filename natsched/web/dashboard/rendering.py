"""From what is known to a page; an error becomes a page too."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from natsched.client.details import logged, why
from natsched.client.measures import distance, instant, span
from natsched.config.fields import Section
from natsched.core.schedules import describe
from natsched.web.dashboard import assets, wording
from natsched.web.events import PATH as EVENTS
from natsched.web.failing import Refused, judge
from natsched.web.guarding import Guard, comes_from_here
from natsched.web.site import Site

DOOR: Final = "/login"
THEME: Final = "natsched_theme"
THEMES: Final = ("auto", "light", "dark")
_LIMIT: Final = 15.0

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

S = TypeVar("S", bound=Section)
Respond = Callable[[Request], Awaitable[Response]]


class Renderer:
    """Renders the pages of a site."""

    def __init__(self, site: Site, guard: Guard) -> None:
        self.site = site
        self._guard = guard

    def page(
        self, request: Request, template: str, *, status: int = 200, events: str | None = None, **known: object
    ) -> Response:
        """Return a page; with `events` it follows what ends at and below that job, or everywhere if it is empty."""
        now = self.site.clock.now()
        theme = request.cookies.get(THEME, "auto")
        text = (
            _templates()
            .get_template(template)
            .render(
                now=now,
                away=lambda at: distance(at, now),
                theme=theme if theme in THEMES else "auto",
                can_leave=self._guard.wants_token,
                here=request.url.path,
                events=None if events is None else address(EVENTS, job=events),
                place=str(request.url.replace(scheme="", netloc="")),
                **known,
            )
        )
        return HTMLResponse(text, status, _HEADERS)

    def failed(self, request: Request, error: Exception) -> Response:
        """Return the page that says what went wrong."""
        said = judge(error)
        answer = self.page(request, "problem.html", status=said.status, said=said)
        answer.headers.update(said.headers)
        return answer

    def route(self, path: str, respond: Respond) -> Route:
        """Return the route of a page."""
        return Route(path, self._guarded(respond), methods=["GET"])

    def action(self, path: str, act: Respond) -> Route:
        """Return the route of a button; only a page of this server has one."""

        async def checked(request: Request) -> Response:
            if not comes_from_here(request.headers):
                raise Refused(403, "only a page of this dashboard may ask for that")
            return await act(request)

        return Route(path, self._guarded(checked), methods=["POST"])

    def _guarded(self, respond: Respond) -> Respond:
        async def guarded(request: Request) -> Response:
            try:
                with anyio.fail_after(_LIMIT):
                    return await respond(request)
            except Exception as error:  # noqa: BLE001 - shown
                return self.failed(request, error)

        return guarded


@cache
def _templates() -> Environment:
    """Return the templates; they are read when somebody first looks."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset=assets.address, address=address, themes=THEMES)
    environment.filters.update(
        describe=describe,
        instant=instant,
        iso=_iso,
        json=_json,
        logged=logged,
        compact=_compact,
        span=span,
        tone=wording.tone,
        tone_of=wording.tone_of,
        words=wording.words,
        why=why,
        retryable=wording.can_be_retried,
    )
    return environment


def read(form: type[S], given: Mapping[str, str]) -> S:
    """Return what an address or a form says; an empty field says nothing."""
    try:
        return form.model_validate({name: value.strip() for name, value in given.items() if value.strip()})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        field = ".".join(map(str, wrong["loc"]))
        raise Refused(400, f"{field}: {wrong['msg']}", field) from None


async def body(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


def address(*parts: str, **query: str) -> str:
    """Return the address of a page: the first part as it is, the others quoted, the query without empty values."""
    path = "/".join([parts[0].rstrip("/"), *(quote(part, safe="") for part in parts[1:])]) or "/"
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{said}" if said else path


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
