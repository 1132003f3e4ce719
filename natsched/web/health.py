"""Probes: `/healthz` for whoever restarts it, `/readyz` for whoever asks whether it works.

A replica that NATS does not answer is not ready, but healthy: to start it again would not bring NATS back.
"""

from collections.abc import Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from natsched.daemon.condition import Condition
from natsched.daemon.timekeeping import INTERVAL
from natsched.errors import Unavailable
from natsched.ports import Link
from natsched.web.failing import answer, failure
from natsched.web.site import Site

PATHS: Final = ("/healthz", "/readyz")
LONGEST_SILENCE: Final = 3 * INTERVAL
LONGEST_LEASELESS: Final = 60.0


def routes(site: Site) -> list[Route]:
    """Return the routes of the probes."""

    async def healthy(_: Request) -> Response:
        reasons = list(why_not_healthy(site.condition(), site.link))
        return answer({"ok": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def ready(_: Request) -> Response:
        reasons = list(why_not_ready(site.condition(), site.link))
        return answer({"ok": not reasons, "reasons": reasons}, 503 if reasons else 200)

    return [Route("/healthz", healthy, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]


async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer while there is no replica yet: that it lives, that it is not ready, and nothing else."""
    reason = "it starts: NATS does not answer, or its streams are not ready"
    match scope["path"]:
        case "/healthz":
            response = answer({"ok": True, "reasons": []})
        case "/readyz":
            response = answer({"ok": False, "reasons": [reason]}, 503)
        case _:
            response = failure(Unavailable(reason))
    await response(scope, receive, send)


def why_not_healthy(condition: Condition, link: Link | None) -> Iterator[str]:
    """Yield what only a new start would cure: that there is no lease, although NATS answers."""
    if condition.is_serving and condition.lost_for > LONGEST_LEASELESS and not any(_unheard(condition, link)):
        yield f"there is no lease for {condition.lost_for:.0f} s, although NATS answers"


def why_not_ready(condition: Condition, link: Link | None) -> Iterator[str]:
    """Yield why it does not take what is due, each reason in a sentence."""
    if condition.is_stopping:
        yield "it stops"
    elif not condition.is_serving:
        yield "it starts"
    if not condition.is_leased:
        yield "its lease is not held"
    yield from _unheard(condition, link)


def _unheard(condition: Condition, link: Link | None) -> Iterator[str]:
    if link is not None and not link.is_connected:
        yield "there is no connection to NATS"
    if condition.silent_for is None:
        yield "the server's time is not known yet"
    elif condition.silent_for > LONGEST_SILENCE:
        yield f"NATS did not answer for {condition.silent_for:.0f} s"
