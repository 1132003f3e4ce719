"""What pages are dressed with: one style sheet, one script, one icon, all in the package."""

from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"

PATHS: Final = tuple(f"/static/{name}" for name in _TYPES)


def routes() -> list[Route]:
    """Return the route of each file."""
    return [_route(f"/static/{name}", (_FOLDER / name).read_bytes(), kind) for name, kind in _TYPES.items()]


def address(name: str) -> str:
    """Return where a file is; another content has another address, so browsers may keep it for ever."""
    return f"/static/{name}?{sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]}"


def _route(path: str, content: bytes, kind: str) -> Route:
    async def respond(_: Request) -> Response:
        headers = {"Cache-Control": _FOREVER, "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=headers, media_type=f"{kind}; charset=utf-8")

    return Route(path, respond, methods=["GET"])
