"""HTTP requests to a server of the test."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from natsched.core.executions import ExecutionStatus
from natsched.core.targets import Http
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.http import KEPT, HttpCaller
from tests.factories import NOON

pytestmark = pytest.mark.anyio
DEADLINE = 20


@dataclass(slots=True)
class Service:
    """A server that answers with the status that the path says, and notes what it was asked."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append({"method": self.command, "path": self.path, "headers": self.headers, "body": body})
            status = self.path.strip("/").partition("?")[0]
            if status == "slow":
                made.go.wait(DEADLINE)
            self.send_response(int(status) if status.isdigit() else 200)
            if status.startswith("3"):
                self.send_header("Location", "/200")
            answer = b"x" * 2 * KEPT if status == "long" else b"said " + status.encode()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST  # noqa: N815 - as the base class has them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        made.go.set()
        server.shutdown()


async def ended(url: str, *, limit: float | None = DEADLINE, payload: Any = None, **options: Any) -> Ended:
    """Send a request as a replica does."""
    context = Context(
        job_id="a.b", execution_id="U-1", due=NOON, started_at=NOON, attempt=2, metadata={}, payload=payload
    )
    caller = HttpCaller()
    try:
        return await Caller(threads=1).call(caller.handler(Http(url=url, **options)), context, timeout=limit)
    finally:
        await caller.close()


async def test_a_request_carries_the_payload_and_the_execution_as_idempotency_key(service: Service) -> None:
    found = await ended(f"{service.url}/201", payload={"user": 42}, headers={"Own": "1"})
    assert (found.status, found.result) == (ExecutionStatus.OK, {"status": 201, "body": "said 201"})
    (asked,) = service.asked
    assert (asked["method"], json.loads(asked["body"])) == ("POST", {"user": 42})
    told = {name: asked["headers"][name] for name in ("Idempotency-Key", "Natsched-Job", "Natsched-Attempt", "Own")}
    assert told == {"Idempotency-Key": "U-1", "Natsched-Job": "a.b", "Natsched-Attempt": "2", "Own": "1"}
    assert asked["headers"]["Content-Type"] == "application/json"


async def test_a_body_of_the_target_stands_in_for_the_payload(service: Service) -> None:
    await ended(f"{service.url}/200", payload={"user": 42}, method="PUT", body=[1])
    assert [(asked["method"], asked["body"]) for asked in service.asked] == [("PUT", b"[1]")]


async def test_a_get_has_no_body(service: Service) -> None:
    await ended(f"{service.url}/200?a=b", payload={"user": 42}, method="GET")
    assert [(asked["path"], asked["body"]) for asked in service.asked] == [("/200?a=b", b"")]


@pytest.mark.parametrize(("status", "again"), [(500, None), (503, None), (429, None), (404, False), (422, False)])
async def test_another_status_fails_and_is_tried_again_where_that_may_help(
    service: Service, status: int, again: bool | None
) -> None:
    found = await ended(f"{service.url}/{status}")
    assert found.status is ExecutionStatus.FAILED
    assert f"was answered with {status}: said {status}" in (found.error or "")
    assert found.failure.again is again


async def test_what_is_expected_is_success_whatever_it_is(service: Service) -> None:
    assert (await ended(f"{service.url}/404", expect=(404,))).status is ExecutionStatus.OK
    assert (await ended(f"{service.url}/200", expect=(404,))).status is ExecutionStatus.FAILED


async def test_a_redirect_is_not_followed(service: Service) -> None:
    found = await ended(f"{service.url}/302")
    assert (found.status, len(service.asked)) == (ExecutionStatus.FAILED, 1)


async def test_a_long_answer_is_cut_and_marked(service: Service) -> None:
    result: Any = (await ended(f"{service.url}/long")).result
    assert result["body"] == "x" * KEPT + f"\n[cut after {KEPT:,} bytes]"


async def test_the_timeout_is_that_of_the_run(service: Service) -> None:
    assert (await ended(f"{service.url}/slow", limit=0.2)).status is ExecutionStatus.TIMED_OUT


async def test_nobody_there_is_a_failure_that_may_pass() -> None:
    found = await ended("http://127.0.0.1:9/")
    assert (found.status, found.failure.again) == (ExecutionStatus.FAILED, None)
    assert "ConnectError" in found.failure.names


async def test_a_secret_is_put_in_from_the_environment_and_told_to_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("NATSCHED_SECRET_TOKEN", "s3cret")
    found = await ended(
        f"{service.url}/500?key=${{NATSCHED_SECRET_TOKEN}}",
        headers={"Authorization": "Bearer ${NATSCHED_SECRET_TOKEN}"},
    )
    (asked,) = service.asked
    assert asked["headers"]["Authorization"] == "Bearer s3cret"
    assert asked["path"] == "/500?key=s3cret"
    assert "s3cret" not in f"{found.error}{found.traceback}{found.result}{caplog.text}"


@pytest.mark.parametrize("name", ["HOME", "NATSCHED_SECRET_MISSING", ""])
async def test_only_secrets_that_are_there_are_let_out(service: Service, name: str) -> None:
    found = await ended(f"{service.url}/200", headers={"A": f"${{{name}}}"})
    assert (found.status, found.failure.again, service.asked) == (ExecutionStatus.FAILED, False, [])
