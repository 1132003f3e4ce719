"""From settings to what is offered: an endpoint for each operation of the HTTP API, with its forms and errors."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
from pydantic_core import from_json

from natsched.client.client import Client
from natsched.client.versions import versions
from natsched.clock import Clock
from natsched.config import Settings
from natsched.errors import InvalidJob
from natsched.ports import Answer, Endpoint
from natsched.service.schemas import Schemas
from natsched.traces import continued
from natsched.web.api import OPERATIONS
from natsched.web.failing import Refused, failure
from natsched.web.operations import Asked, Operation, checked
from natsched.wiring import Opened, operations

NAME: Final = "natsched"
_DESCRIPTION: Final = "Jobs and executions of a natsched cluster; any replica answers for all of it."


@asynccontextmanager
async def offered(settings: Settings, opened: Opened) -> AsyncGenerator[None, None]:
    """Offer the operations for as long as the context lasts, if the settings want it and there is NATS."""
    if not settings.service.enabled or opened.offers is None:
        yield
        return
    client = Client(opened.backend, operations(opened, settings), opened.clock)
    endpoints = list(_endpoints(client, opened.clock, settings.service.prefix))
    async with opened.offers.offer(NAME, versions()["natsched"], _DESCRIPTION, endpoints):
        yield


def _endpoints(client: Client, clock: Clock, prefix: str) -> Iterator[Endpoint]:
    schemas = Schemas()
    for operation in OPERATIONS:
        yield Endpoint(
            name=operation.name,
            subject=f"{prefix}.{operation.name}",
            metadata={
                "description": operation.summary,
                "request_schema": _json(schemas.of_request(operation)),
                "response_schema": _json(schemas.of_answer(operation)),
            },
            answer=partial(answer, operation, client, clock),
        )


async def answer(
    operation: Operation, client: Client, clock: Clock, data: bytes, headers: Mapping[str, str]
) -> Answer:
    """Do an operation and answer; what goes wrong is told as over HTTP, with its status as the code."""
    try:
        with continued(headers), anyio.fail_after(operation.limit):
            return Answer(data=_json(await operation.do(_asked(operation, client, clock, _read(data)))).encode())
    except Exception as error:  # noqa: BLE001 - answered, and what is a fault is logged
        told = failure(error)
        body = bytes(told.body)
        return Answer(data=body, code=str(told.status_code), problem=json.loads(body)["error"]["message"])


def _asked(operation: Operation, client: Client, clock: Clock, values: Mapping[str, Any]) -> Asked:
    """Take apart what over HTTP is in the path, the query and the body."""
    left = dict(values)
    path: dict[str, str] = {}
    for name in operation.of_path:
        value = left.pop(name, None)
        if not isinstance(value, str):
            raise InvalidJob("it is missing, or no text", field=name)
        path[name] = value
    query: Any = None
    if operation.query is not None:
        given = {name: left.pop(name) for name in operation.query.model_fields if name in left}
        query = checked(operation.query, given)
    body: Any = None
    if operation.form is not None:
        body = checked(operation.form, left)
    elif operation.takes is not None:
        body = left
    elif left:
        raise InvalidJob("it is not known here", field=next(iter(left)))
    return Asked(client=client, clock=clock, path=path, query=query, body=body)


def _read(data: bytes) -> dict[str, Any]:
    if not data:
        return {}
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError:
        raise Refused(400, "the request is no valid JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "the request has to be a JSON object")
    return value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
