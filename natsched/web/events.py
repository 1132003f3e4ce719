"""The stream of what ends, as server-sent events."""

import json
from typing import Final

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from natsched.config.fields import Section
from natsched.core.ids import job_id
from natsched.web.failing import Refused, failure
from natsched.web.feed import Feed, Listener
from natsched.web.operations import PREFIX, read_query
from natsched.web.site import Site

PATH: Final = f"{PREFIX}/events"
BEAT: Final = 15.0
_PAUSE: Final = 0.1
"""How long what ends is gathered: no stream is more than a few thousand events a second."""

_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


class Which(Section):
    """Of which jobs: one, or those at and below a prefix."""

    job: str = ""


def routes(site: Site) -> list[Route]:
    """Return the route of the stream."""

    async def events(request: Request) -> Response:
        try:
            query = read_query(Which, request)
            return EventStream(site.feed, job_id(query.job) if query.job else "")
        except Exception as error:  # noqa: BLE001 - answered
            return failure(error)

    return [Route(PATH, events, methods=["GET"])]


class EventStream(Response):
    """A response that goes on until who asked is gone, or the feed is closed."""

    def __init__(self, feed: Feed, prefix: str) -> None:
        super().__init__()
        self._feed = feed
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._feed.listening(self._prefix) as listener:
                await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_gone, receive, tasks.cancel_scope, name="see who asked leave")
                    await _write(listener, send)
                    tasks.cancel_scope.cancel()
        except Refused as refused:
            await failure(refused)(scope, receive, send)


async def _write(listener: Listener, send: Send) -> None:
    text = "retry: 2000\n\n"
    while not listener.closed:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        text = await _next(listener)
    await send({"type": "http.response.body", "body": text.encode()})


async def _next(listener: Listener) -> str:
    """Return what is to be sent next: events, or a comment by which both ends know that the other is there."""
    with anyio.move_on_after(BEAT):
        await listener.some.wait()
        await anyio.sleep(_PAUSE)
    taken, lost = listener.take()
    told = [f"event: lost\ndata: {json.dumps({'number': lost})}\n\n"] if lost else []
    return "".join([*told, *taken]) or ": still here\n\n"


async def _gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
