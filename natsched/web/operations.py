"""What can be asked over the API: each operation once, from which its route and its description are made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.client.client import Client
from natsched.clock import Clock
from natsched.config.fields import Section
from natsched.config.problems import failure as invalid
from natsched.config.problems import invalid_values
from natsched.config.sources import Origins
from natsched.traces import continued
from natsched.web.failing import Refused, answer, failure
from natsched.web.site import Site

PREFIX: Final = "/api/v1"

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, read: whom it asks, the parts of the path, the query and the body as their forms say."""

    client: Client
    clock: Clock
    path: Mapping[str, str]
    query: Any = None
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `returns` names the schema of its answer, `takes` that of its body.

    `query` and `form` are what its query and body are checked with; a body without a form is any JSON object.
    `limit` is how many seconds it may take.
    """

    name: str
    method: str
    path: str
    summary: str
    do: Callable[[Asked], Awaitable[object]]
    returns: str
    query: type[Section] | None = None
    form: type[Section] | None = None
    takes: str | None = None
    status: int = 200
    limit: float = 15.0
    fails: tuple[int, ...] = ()

    @property
    def of_path(self) -> tuple[str, ...]:
        """The names of the parts of the path that a request gives."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    def route(self, site: Site) -> Route:
        """Return the route that does it."""

        async def respond(request: Request) -> Response:
            try:
                query = None if self.query is None else read_query(self.query, request)
                with continued(request.headers), anyio.fail_after(self.limit):
                    body = await self._body(request)
                    asked = Asked(
                        client=site.client, clock=site.clock, path=request.path_params, query=query, body=body
                    )
                    return answer(await self.do(asked), self.status)
            except Exception as error:  # noqa: BLE001 - answered, and what is a fault is logged
                return failure(error)

        return Route(PREFIX + self.path, respond, methods=[self.method], name=self.name)

    async def _body(self, request: Request) -> Any:  # noqa: ANN401 - as its form says
        if self.form is None and self.takes is None:
            return None
        return await _read_json(request) if self.form is None else await read_body(self.form, request)


def read_query(form: type[S], request: Request) -> S:
    """Return the query; a name that may have many values takes them one by one, or with commas."""
    values: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        field = form.model_fields.get(name)
        if field is not None and isinstance(field.default, tuple):
            values[name] = [part for text in given for part in text.split(",") if part]
        else:
            values[name] = given[-1]
    return checked(form, values)


async def read_body(form: type[S], request: Request) -> S:
    """Return the body as the form says; none at all is an empty one."""
    return checked(form, await _read_json(request, optional=True))


def checked(form: type[S], values: Mapping[str, Any]) -> S:
    """Return the values as the form says, or raise with all that is wrong."""
    try:
        return form.model_validate(values)
    except ValidationError as error:
        problems = list(invalid_values(error, form, Origins(layers=())))
        raise invalid("The request is not valid:", problems) from None


async def _read_json(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object that the body is."""
    body = await request.body()
    if not body and optional:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "the body has to be JSON: send Content-Type: application/json")
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise Refused(400, "the body is no valid JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "the body has to be a JSON object")
    return value
