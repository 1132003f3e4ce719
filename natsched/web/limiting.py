"""How much a request may bring."""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from natsched.web.failing import Refused, failure

LARGEST: Final = 1024 * 1024
_TOO_LARGE: Final = f"a body has at most {LARGEST:,} bytes: send less, many jobs in several requests"


class Limit:
    """Refuses bodies beyond `LARGEST`, by what their header says and by what comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said, came = Headers(scope=scope).get("content-length", "0"), 0
        if said.isdecimal() and int(said) > LARGEST:
            await failure(Refused(413, _TOO_LARGE, connection="close"))(scope, receive, send)
            return

        async def receive_some() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > LARGEST:
                raise Refused(413, _TOO_LARGE, connection="close")
            return message

        await self._app(scope, receive_some, send)
