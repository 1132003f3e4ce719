"""The description of the API for other programs: OpenAPI 3.1, made of the operations and of the stored forms."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.client.versions import versions
from natsched.config.fields import Section
from natsched.web import events, sessions
from natsched.web.failing import answer
from natsched.web.guarding import COOKIE
from natsched.web.operations import PREFIX, Operation
from natsched.web.schemas import REF, components, of_form

PATH: Final = "/api/openapi.json"
_JSON: Final = "application/json"
_ALWAYS: Final = (401, 421, 500, 503)
_PROBES: Final[Mapping[str, str]] = {
    "/healthz": "Whether it goes on; if not, a new start would help.",
    "/readyz": "Whether it takes what is due, and if not, why not.",
}
_WORDS: Final[Mapping[int, str]] = {
    400: "The body is no JSON object.",
    401: "The token is missing or wrong.",
    403: "A page of another origin asked.",
    404: "There is no such job, or execution of it.",
    409: "It exists, or somebody else was faster, or too many wait.",
    413: "The body is too large.",
    415: "The body is of another type.",
    421: "The server is asked by a name that is not this machine's.",
    422: "It is not valid: `field` says where.",
    429: "Too many streams are open.",
    500: "A fault of natsched.",
    503: "NATS does not answer, or it took too long: trying again helps.",
}


def routes(operations: Iterable[Operation]) -> list[Route]:
    """Return the route of the document, which is made when it is asked for first."""
    listed = tuple(operations)

    @lru_cache(maxsize=1)
    def made() -> dict[str, Any]:
        return document(listed)

    async def openapi(_: Request) -> Response:
        return answer(made())

    return [Route(PATH, openapi, methods=["GET"])]


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document."""
    listed = tuple(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(operation)
    error = {"$ref": REF.format(model="Error")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "natsched",
            "version": versions()["natsched"],
            "description": "Jobs and executions of a natsched cluster; any replica answers for all of it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}, {}],
        "paths": {**paths, **_others()},
        "components": {
            "schemas": components(),
            "responses": {str(status): _content(text, error) for status, text in _WORDS.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    body = _body(operation)
    failures = {*operation.fails, *_ALWAYS}
    if operation.method != "GET":
        failures |= {403, 409}
    if body:
        failures |= {400, 413, 415, 422}
    if operation.query is not None or "{" in operation.path:
        failures |= {422}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
        "parameters": [*_of_path(operation.path), *_of_query(operation.query)],
        **body,
        "responses": {
            str(operation.status): _content("As asked.", {"$ref": REF.format(model=operation.returns)}),
            **_failures(failures),
        },
    }


def _body(operation: Operation) -> dict[str, Any]:
    if operation.takes is not None:
        schema: dict[str, Any] = {"$ref": REF.format(model=operation.takes)}
    elif operation.form is not None:
        schema = of_form(operation.form)
    else:
        return {}
    return {"requestBody": {"required": operation.takes is not None, "content": {_JSON: {"schema": schema}}}}


def _of_path(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _of_query(form: type[Section] | None) -> list[dict[str, Any]]:
    if form is None:
        return []
    listed = []
    for name, field in form.model_fields.items():
        schema = TypeAdapter(field.rebuild_annotation()).json_schema(ref_template=REF)
        schema.pop("$defs", None)
        given = {"name": name, "in": "query", "required": field.is_required(), "schema": schema}
        listed.append(given | ({"style": "form", "explode": False} if isinstance(field.default, tuple) else {}))
    return listed


def _others() -> dict[str, dict[str, Any]]:
    """Return what is no operation on jobs: probes, metrics, the stream of events, sessions and this document."""
    probe = {"$ref": REF.format(model="Probe")}
    text = {"description": "As asked.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    stream = {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    done = {"description": "Done."}
    return {
        **{
            path: _get(
                path[1:], summary, _content("It is.", probe), security=[], also={"503": _content("It is not.", probe)}
            )
            for path, summary in _PROBES.items()
        },
        "/metrics": _get("metrics", "Metrics for Prometheus.", text),
        PATH: _get("openapi", "This document.", _content("As asked.", {"type": "object"})),
        events.PATH: {
            "get": {
                **_get(
                    "events",
                    "Follow what ends, as server-sent events `record`; `lost` says what was left out.",
                    stream,
                    fails=(401, 421, 422, 429),
                )["get"],
                "parameters": _of_query(events.Which),
            }
        },
        sessions.PATH: {
            "post": {
                "operationId": "beginSession",
                "summary": "Begin a session of a browser with the token.",
                "security": [],
                "requestBody": {"required": True, "content": {_JSON: {"schema": of_form(sessions.Login)}}},
                "responses": {"204": done, **_failures({400, 401, 403, 413, 415, 421, 422})},
            },
            "delete": {
                "operationId": "endSession",
                "summary": "End the session of this browser.",
                "security": [],
                "responses": {"204": done, **_failures({403, 421})},
            },
        },
    }


def _get(
    name: str,
    summary: str,
    good: dict[str, Any],
    *,
    fails: Iterable[int] = (401, 421),
    also: Mapping[str, Any] | None = None,
    **more: object,
) -> dict[str, Any]:
    responses = {"200": good, **_failures(fails), **(also or {})}
    return {"get": {"operationId": name, "summary": summary, **more, "responses": responses}}


def _failures(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}
