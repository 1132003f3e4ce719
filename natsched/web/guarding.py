"""Who may ask what: the token, and what keeps other people's web pages from asking in somebody's name.

A browser lets any page send requests to 127.0.0.1, and a name of that page's own may be bound to it a moment later.
So on a loopback address only its own names are answered to, and nothing is changed for a page of another origin.
"""

import hmac
from collections.abc import Collection
from hashlib import sha256
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from natsched.clock import Clock
from natsched.config.http import Http
from natsched.web.failing import Refused, failure

COOKIE: Final = "natsched_session"
SESSION: Final = 12 * 3600
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class Guard:
    """Decides by a request's headers; `open_to_all` are the paths that need no token."""

    def __init__(self, http: Http, clock: Clock, open_to_all: Collection[str] = ()) -> None:
        self._token = None if http.token is None else http.token.get_secret_value()
        self._is_local = http.is_local
        self._clock = clock
        self._open = frozenset(open_to_all)

    @property
    def wants_token(self) -> bool:
        return self._token is not None

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Raise `Refused` for a request that is not to be answered."""
        if self._is_local and not _is_loopback(_host(headers.get("host", ""))):
            raise Refused(421, "this server listens on this machine alone: ask it as 127.0.0.1 or localhost")
        if method not in _READING and _is_foreign(headers):
            raise Refused(403, "a page of another origin asks for a change")
        if path not in self._open and not self.admits(headers):
            raise Refused(
                401, "show the token: Authorization: Bearer ...", WWW_Authenticate='Bearer realm="natsched"'
            )

    def admits(self, headers: Headers) -> bool:
        """Whether who asks showed the token, or a session that was begun with it; anybody where there is none."""
        if self._token is None:
            return True
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.knows(shown.strip())
        return self._is_session(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))

    def knows(self, token: str) -> bool:
        """Whether it is the token, in a time that tells nothing of it."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def session(self) -> str:
        """Return a new session for a browser: until when, and the proof that it was begun with the token."""
        until = str(int(self._clock.now().timestamp()) + SESSION)
        return f"{until}.{self._proof(until)}"

    def _is_session(self, text: str) -> bool:
        until, _, proof = text.partition(".")
        if not until.isdecimal() or not hmac.compare_digest(proof.encode(), self._proof(until).encode()):
            return False
        return int(until) > self._clock.now().timestamp()

    def _proof(self, until: str) -> str:
        return hmac.new((self._token or "").encode(), f"natsched session {until}".encode(), sha256).hexdigest()


class Gate:
    """Lets a request through to the application if the guard does; a person who lacks the token is led to `door`."""

    def __init__(self, app: ASGIApp, guard: Guard, door: str) -> None:
        self._app = app
        self._guard = guard
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                self._guard.check(scope["method"], scope["path"], headers)
            except Refused as refused:
                is_person = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
                led = RedirectResponse(self._way(scope), 303, {"Cache-Control": "no-store"})
                await (led if refused.status == 401 and is_person else failure(refused))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _way(self, scope: Scope) -> str:
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        return f"{self._door}?{urlencode({'next': scope['path'] + query})}"


def comes_from_here(headers: Headers) -> bool:
    """Whether a browser says that a page of this very server asks: what says nothing is not believed."""
    said = headers.get("sec-fetch-site") == "same-origin" or headers.get("origin") is not None
    return said and not _is_foreign(headers)


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin asks."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITE:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _host(place: str) -> str:
    """Return the host of `host:port`, an address of IPv6 without its brackets."""
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.rpartition(":")[0] if ":" in place else place


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
