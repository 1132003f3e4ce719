"""A receiver of webhooks: a small HTTP server of the tests' own."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Receiver:
    """Notes what it is sent; answers with `status`, or for a while not at all while `silent` is set."""

    url: str = ""
    status: int = 204
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def taken(self, job: str = "") -> list[dict[str, Any]]:
        """Return what it was sent of a job, or of all."""
        bodies = [json.loads(body) for _, body in list(self.asked)]
        return [body for body in bodies if job in ("", body["job"])]

    def statuses(self, job: str = "") -> list[str]:
        return [body["status"] for body in self.taken(job)]


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether the signature is right, as the documentation says to find out."""
    parts = dict(part.split("=", 1) for part in headers["Natsched-Signature"].split(","))
    wanted = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(parts["v1"], wanted)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append((dict(self.headers.items()), body))
            status = made.status
            if made.silent.is_set():
                made.go.wait(60)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: a client that was killed is what these tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.go.set()
            server.shutdown()
            thread.join()
