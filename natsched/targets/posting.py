"""POSTs to webhooks, through httpx."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio

from natsched.targets.http import with_secrets
from natsched.targets.signals import Abort

if TYPE_CHECKING:
    import httpx


class PostFailed(Exception):
    """There was no answer; the text names no URL, which may hold a secret."""


class HttpPoster:
    """POSTs over connections that are kept; they are opened when the first is sent. No redirect is followed."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, limit: float) -> int:
        """Send and return the status of the answer, whose body is not read; within `limit` seconds.

        Raise `PostFailed` without an answer.
        """
        try:
            with anyio.fail_after(limit):
                async with self._opened().stream(
                    "POST", with_secrets(url), content=body, headers=dict(headers)
                ) as answer:
                    return answer.status_code
        except TimeoutError as error:
            raise PostFailed(f"no answer within {limit:g} s") from error
        except Abort as error:
            raise PostFailed(str(error)) from error
        except Exception as error:  # noqa: BLE001 - httpx, h11, anyio and ssl each have their own
            raise PostFailed(type(error).__name__) from None

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _opened(self) -> "httpx.AsyncClient":
        if self._client is None:
            import httpx

            logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, with the secrets in them
            self._client = httpx.AsyncClient(timeout=None, follow_redirects=False)  # noqa: S113 - `post` has a limit
        return self._client
