"""The application over a world on virtual time; each of its answers is checked against its own description."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from natsched.config.http import Http
from natsched.daemon.condition import Condition, Places
from natsched.web.api import OPERATIONS
from natsched.web.app import build_app
from natsched.web.feed import Feed
from natsched.web.index import JobIndex
from natsched.web.metrics import Metrics
from natsched.web.openapi import document
from natsched.web.site import Site
from tests.daemon.harness import World, in_a_world

TOKEN = "hunter2-Zq9"
BASE = "http://127.0.0.1:7477"


def make_condition(**changes: Any) -> Condition:
    """Make the condition of a replica that is well."""
    well: dict[str, Any] = {
        "name": "r1",
        "lease": "lease.r1.x",
        "is_serving": True,
        "is_stopping": False,
        "is_primary": True,
        "is_leased": True,
        "lost_for": 0.0,
        "silent_for": 1.0,
        "offset": timedelta(milliseconds=3),
        "held": 0,
        "places": {"default": Places(number=1000, taken=0, waiting=0)},
    }
    return Condition(**(well | changes))


@dataclass(slots=True)
class Web:
    """The application of a world, and a client that asks it."""

    world: World
    site: Site
    http: httpx.AsyncClient

    async def get(self, path: str, **query: Any) -> Any:
        """Ask for what is there, and return it."""
        return good(await self.http.get(f"/api/v1{path}", params=query))

    async def post(self, path: str, body: object = None, **query: Any) -> Any:
        return good(await self.http.post(f"/api/v1{path}", json=body or {}, params=query))

    async def put(self, path: str, body: object) -> Any:
        return good(await self.http.put(f"/api/v1{path}", json=body))

    async def delete(self, path: str) -> Any:
        return good(await self.http.delete(f"/api/v1{path}"))


def good(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


@asynccontextmanager
async def web(
    world: World,
    condition: Callable[[], Condition] = make_condition,
    *,
    metrics: Metrics | None = None,
    **http: Any,
) -> AsyncGenerator[Web, None]:
    """Give the application of a world."""
    site = Site(
        client=world.client,
        backend=world.backend,
        clock=world.clock,
        condition=condition,
        feed=Feed(world.backend.history, world.clock),
        index=JobIndex(world.backend.jobs, world.clock),
        http=Http(**http),
        metrics=metrics or Metrics(),
    )
    transport = httpx.ASGITransport(app=build_app(site))
    async with httpx.AsyncClient(
        transport=transport, base_url=BASE, event_hooks={"response": [as_described]}
    ) as client:
        yield Web(world, site, client)


def with_token() -> dict[str, Any]:
    """Return the settings of a server that wants a token."""
    return {"token": SecretStr(TOKEN)}


def in_a_web(test: Callable[[Web], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Run a test on the application of a world of its own."""

    async def run(world: World) -> None:
        async with web(world) as one:
            await test(one)

    run.__name__ = test.__name__
    return in_a_world(run)


@cache
def described() -> dict[str, Any]:
    return document(OPERATIONS)


async def as_described(answer: httpx.Response) -> None:
    """Check that the description has the answer's status, and that its body is what it says."""
    await answer.aread()
    path, method = answer.request.url.path, answer.request.method.lower()
    of_path = next((item for name, item in described()["paths"].items() if _fits(name, path)), None)
    if of_path is None or method not in of_path:
        assert not path.startswith("/api/") or answer.status_code in (401, 403, 404, 405, 413, 421), answer
        return
    response = of_path[method]["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = described()["components"]["responses"][str(answer.status_code)]
    content = response.get("content", {})
    if "application/json" in content:
        _validator(json.dumps(content["application/json"]["schema"])).validate(answer.json())


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": described()["components"]})


def _fits(name: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", name), path) is not None
