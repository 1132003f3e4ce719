"""Each refusal: its status, its code, its field, and a sentence."""

from typing import Any

import pytest

from natsched.errors import (
    BackendError,
    ConfigError,
    Conflict,
    InvalidJob,
    JobExists,
    JobNotFound,
    PermissionDenied,
    ScheduleError,
    TooManyEntries,
    Unavailable,
)
from natsched.web.failing import failure
from natsched.web.limiting import LARGEST
from tests.daemon.harness import World, in_a_world
from tests.web.harness import Web, in_a_web, web

_JSON = {"Content-Type": "application/json"}
_TABLE = {"every": "1m"}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code", "field", "message"),
    [
        ("GET", "/jobs/absent", {}, 404, "not_found", None, "there is no job absent"),
        ("GET", "/jobs/bad id", {}, 422, "invalid", "id", "is no job id"),
        ("GET", "/jobs/there/executions/absent", {}, 404, "not_found", None, "no record of absent"),
        ("GET", "/nothing", {}, 404, "not_found", None, "Not Found"),
        ("POST", "/version", {}, 405, "method_not_allowed", None, "Method Not Allowed"),
        ("POST", "/jobs", {"json": {"id": "there", **_TABLE}}, 409, "exists", None, "exists"),
        ("PUT", "/jobs/a", {"json": {"evry": "1m"}}, 422, "invalid", "evry", 'did you mean "every"?'),
        ("PUT", "/jobs/a", {"json": {"every": "often"}}, 422, "invalid", "every", "is not a duration"),
        ("PUT", "/jobs/a", {"json": {"cron": "x"}}, 422, "invalid", "schedule", "cron"),
        ("PUT", "/jobs/a", {"json": {}}, 422, "invalid", "schedule", "nothing says when the job runs"),
        ("PUT", "/jobs/a", {"json": {**_TABLE, "id": "b"}}, 422, "invalid", "id", "leave it out"),
        ("PUT", "/jobs/a", {"json": {"after": ["absent"]}}, 422, "invalid", "after.0", "absent"),
        ("PUT", "/jobs", {"json": {"job": [{"id": "a"}]}}, 422, "invalid", 'job 1 "a", schedule', "nothing says"),
        ("PUT", "/jobs", {"json": {"jobs": []}}, 422, "invalid", "jobs", 'did you mean "job"?'),
        ("PUT", "/jobs/a", {"content": "{", "headers": _JSON}, 400, "bad_request", None, "no valid JSON"),
        ("PUT", "/jobs/a", {"content": "[" * 100_000, "headers": _JSON}, 400, "bad_request", None, "no valid JSON"),
        ("PUT", "/jobs/a", {"content": "\xff".encode("latin-1"), "headers": _JSON}, 400, "bad_request", None, "JSON"),
        (
            "PUT",
            "/jobs/a",
            {"content": '{"every": NaN}', "headers": _JSON},
            400,
            "bad_request",
            None,
            "no valid JSON",
        ),
        (
            "POST",
            "/jobs/there/pause",
            {"content": r'{"reason": "\ud800"}', "headers": _JSON},
            400,
            "bad_request",
            None,
            "JSON",
        ),
        ("PUT", "/jobs/a", {"json": []}, 400, "bad_request", None, "JSON object"),
        ("PUT", "/jobs/a", {"data": _TABLE}, 415, "unsupported_media_type", None, "Content-Type: application/json"),
        ("POST", "/jobs/there/pause", {"json": {"until": 5}}, 422, "invalid", "until", "should be an instant"),
        ("POST", "/jobs/there/pause", {"json": {"untl": 5}}, 422, "invalid", "untl", 'did you mean "until"?'),
        ("POST", "/jobs/there/pause", {"json": {"reason": "x" * 501}}, 422, "invalid", "reason", "500"),
        ("POST", "/jobs/there/backfill", {"json": {}}, 422, "invalid", "start", "is missing"),
        ("GET", "/jobs?limit=0", {}, 422, "invalid", "limit", "greater than or equal to 1"),
        ("GET", "/jobs?limit=many", {}, 422, "invalid", "limit", "whole number"),
        ("GET", "/jobs?after=x", {}, 422, "invalid", "after", "is not the `next` of a page"),
        ("GET", "/jobs?prefx=a", {}, 422, "invalid", "prefx", 'did you mean "prefix"?'),
        ("GET", "/executions?status=ok,good", {}, 422, "invalid", "status.1", "should be"),
        ("GET", "/executions?since=yesterday", {}, 422, "invalid", "since", "should be an instant"),
        ("GET", "/executions?within=1h&since=2026-01-01T00:00:00Z", {}, 422, "invalid", "within", "leave one"),
        ("POST", "/jobs/there/executions/absent/cancel", {}, 422, "invalid", "execution", "is not under way"),
        ("POST", "/jobs/there/executions/absent/retry", {}, 404, "not_found", None, "no record"),
        ("GET", "/events?job=a b", {}, 422, "invalid", "id", "is no job id"),
    ],
)
def test_a_refusal_says_what_and_where(
    method: str, path: str, sent: dict[str, Any], status: int, code: str, field: str | None, message: str
) -> None:
    @in_a_web
    async def asked(web: Web) -> None:
        await web.put("/jobs/there", _TABLE)
        answer = await web.http.request(method, f"/api/v1{path}", **sent)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["field"]) == (status, code, field), error
        assert message in error["message"]
        assert answer.headers["cache-control"] == "no-store"

    asked()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable(), 503, "unavailable"),
        (TimeoutError(), 503, "timeout"),
        (PermissionDenied(), 502, "denied_by_nats"),
        (BackendError(), 502, "backend"),
        (Conflict(), 409, "conflict"),
        (JobExists(), 409, "exists"),
        (TooManyEntries(), 409, "full"),
        (JobNotFound(), 404, "not_found"),
        (InvalidJob("bad", field="x"), 422, "invalid"),
        (ScheduleError(), 422, "invalid"),
        (ConfigError(), 422, "invalid"),
        (RuntimeError("a secret"), 500, "internal"),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int, code: str) -> None:
    answer = failure(error)
    assert answer.status_code == status
    assert f'"code":"{code}"'.encode() in answer.body
    assert b"a secret" not in answer.body
    assert (answer.headers.get("retry-after") == "1") is (status == 503)


@in_a_web
async def test_a_body_beyond_a_mebibyte_is_refused_whole_or_in_parts(web: Web) -> None:
    async def parts() -> Any:
        for _ in range(LARGEST // 65_536 + 1):
            yield b" " * 65_536

    for content in (b" " * (LARGEST + 1), parts()):
        answer = await web.http.put("/api/v1/jobs/a", content=content, headers=_JSON)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    fits = await web.http.put("/api/v1/jobs/a", content=b'{"every": "1m"}'.ljust(LARGEST), headers=_JSON)
    assert fits.status_code == 200


@in_a_world
async def test_an_outage_is_told_within_the_time_of_an_operation(world: World) -> None:
    async def never(_: object) -> None:
        await world.clock.sleep(3600)

    async with web(world) as one:
        world.backend.jobs.read = never  # type: ignore[method-assign, assignment]
        began = world.clock.monotonic()
        answer = await one.http.get("/api/v1/jobs/a")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "timeout")
        assert world.clock.monotonic() - began <= 15
