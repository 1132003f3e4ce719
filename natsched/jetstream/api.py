"""One call of JetStream's JSON API."""

import json
from collections.abc import Mapping
from typing import Any

from natsched.errors import BackendError
from natsched.jetstream.connection import Connection
from natsched.jetstream.translate import api_error


async def call(
    connection: Connection,
    verb: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - as in `Connection.request`
) -> dict[str, Any]:
    """Ask, such as `call(connection, "STREAM.INFO.ORDERS")`, and return the answer; raise its error as ours."""
    payload = b"" if body is None else json.dumps(body).encode()
    message = await connection.request(f"{connection.api_prefix}.{verb}", payload, timeout=timeout)
    try:
        answer: dict[str, Any] = json.loads(message.data)
        error = answer.get("error")
    except (ValueError, AttributeError) as problem:
        raise BackendError(f"What answered {verb} is not the API of JetStream.") from problem
    if error:
        raise api_error(error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return answer
