"""The description: valid, and as complete as the routes and the client are."""

import inspect

from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Route

from natsched.client.client import Client
from natsched.web import dashboard
from natsched.web.api import OPERATIONS
from natsched.web.app import build_app
from natsched.web.guarding import Guard
from tests.web.harness import Web, described, in_a_web

_ELSEWHERE = {
    "iter_jobs": "listJobs",
    "execution": "getExecution",
    "executions": "listExecutions",
    "replicas": "listReplicas",
    "backlog": "getBacklog",
}


_NO_OPERATIONS = {"watch", "plan_files", "apply_plan", "backup", "restore"}
"""A stream of its own, and what works on files of whoever calls."""


def test_the_document_is_valid() -> None:
    validate(described())


@in_a_web
async def test_every_route_is_described_and_nothing_else(web: Web) -> None:
    app = build_app(web.site)
    assert isinstance(app, Starlette)
    pages = {route.path for route in dashboard.routes(web.site, Guard(web.site.http, web.site.clock))}
    routes = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path not in pages
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert routes == {(path, method) for path, item in described()["paths"].items() for method in item}


def test_every_operation_of_the_client_is_one_of_the_api() -> None:
    public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    names = {_ELSEWHERE.get(name) or _camel(name) for name in public - _NO_OPERATIONS}
    assert names <= {operation.name for operation in OPERATIONS}
    assert {operation.name for operation in OPERATIONS} - names == {"getVersion"}


@in_a_web
async def test_it_is_served(web: Web) -> None:
    assert (await web.http.get("/api/openapi.json")).json() == described()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
