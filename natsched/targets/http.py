"""Sending HTTP requests, through httpx."""

import json
import logging
import os
from collections.abc import Mapping
from functools import partial
from re import Match
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from natsched.core.targets import REFERENCE, SECRETS, Http
from natsched.targets.context import Context
from natsched.targets.headers import joined, told
from natsched.targets.registry import Handler
from natsched.targets.signals import Abort, TargetFailed

if TYPE_CHECKING:
    import httpx

KEPT: Final = 16 * 1024
"""Bytes of an answer that are kept."""

_FATAL: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 414, 415, 422, 501})
_DETAIL: Final = 500


class UnexpectedStatus(TargetFailed):
    """The answer has another status than was expected."""


class HttpCaller:
    """Sends requests over connections that are kept; they are opened when the first is sent."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    def handler(self, target: Http) -> Handler:
        """Return the request as something to call, as a handler is."""
        return partial(self._send, target)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _send(self, target: Http, context: Context) -> JsonValue:
        """Send the request and return status and body; the run's time limit is that of the job.

        Raise `UnexpectedStatus`, or `Abort` for a status that another attempt would meet again, and what httpx
        raises where there is no answer.
        """
        url = with_secrets(target.url)
        own = {name: with_secrets(value) for name, value in target.headers.items()}
        headers = joined({"Idempotency-Key": context.execution_id, **told(context)}, own)
        body = target.body if target.body is not None else context.payload
        content = None
        if body is not None and target.method not in {"GET", "HEAD"}:
            headers = {"Content-Type": "application/json", **headers}
            content = json.dumps(body).encode()
        async with self._opened().stream(target.method, url, headers=headers, content=content) as answer:
            said = await _beginning(answer)
        if answer.status_code in target.expect or (not target.expect and answer.is_success):
            return {"status": answer.status_code, "body": said}
        problem = f"{target.method} {target.url} was answered with {answer.status_code}: {said[:_DETAIL]}"
        if answer.status_code in _FATAL:
            raise Abort(problem)
        raise UnexpectedStatus(problem)

    def _opened(self) -> "httpx.AsyncClient":
        if self._client is None:
            import httpx

            logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, with the secrets in them
            self._client = httpx.AsyncClient(timeout=None, follow_redirects=False)  # noqa: S113 - the job's is the limit
        return self._client


def with_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Put in what `${NAME}` refers to; the text with secrets is never logged or stored."""

    def value(match: Match[str]) -> str:
        name = match[1]
        if not name.startswith(SECRETS):
            raise Abort(f"${{{name}}} is not let out: only variables that begin with {SECRETS} are")
        if name not in environment:
            raise Abort(f"${{{name}}} is not set in the environment of this replica")
        return environment[name]

    return REFERENCE.sub(value, text)


async def _beginning(answer: "httpx.Response") -> str:
    """Read the body as far as it is kept; the rest is not fetched."""
    said = bytearray()
    async for chunk in answer.aiter_bytes():
        said += chunk
        if len(said) > KEPT:
            return said[:KEPT].decode(answer.encoding or "utf-8", "replace") + f"\n[cut after {KEPT:,} bytes]"
    return said.decode(answer.encoding or "utf-8", "replace")
