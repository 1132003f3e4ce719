"""How much a request may bring."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from natsched.web.failing import Refused

LARGEST: Final = 1024 * 1024
_TOO_LARGE: Final = f"a body has at most {LARGEST:,} bytes: send less, many jobs in several requests"


class Limit:
    """Refuses bodies beyond `LARGEST` by what comes of them, whatever their header says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came = 0

        async def receive_some() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > LARGEST:
                raise Refused(413, _TOO_LARGE, connection="close")
            return message

        await self._app(scope, receive_some, send)
