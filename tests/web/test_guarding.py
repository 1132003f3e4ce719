"""Who is let in: the token, sessions, and whose pages may ask in somebody's name."""

import itertools
from typing import Any

import httpx
import pytest

from natsched.web.guarding import COOKIE, SESSION
from tests.daemon.harness import World, in_a_world
from tests.web.harness import BASE, TOKEN, Web, in_a_web, web, with_token

_GUARDED = ("/metrics", "/api/openapi.json", "/api/v1/jobs", "/api/v1/version", "/api/v1/events?job=", "/nothing")
_RIGHT: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}"}
_WRONG: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer "},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": TOKEN},
    {"Authorization": f"Basic {TOKEN}"},
    {"Cookie": f"{COOKIE}={TOKEN}"},
    {"Cookie": f"{COOKIE}=99999999999.{'0' * 64}"},
    {"Cookie": f"{COOKIE}=x.y"},
)


@in_a_world
async def test_nothing_but_the_probes_is_told_without_the_token(world: World) -> None:
    async with web(world, **with_token()) as one:
        for path, headers in itertools.product(_GUARDED, _WRONG):
            answer = await one.http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized"), (path, headers)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert TOKEN not in answer.text
        for path in ("/healthz", "/readyz"):
            assert (await one.http.get(path)).status_code == 200
        for path in ("/metrics", "/api/openapi.json", "/api/v1/jobs"):
            assert (await one.http.get(path, headers=_RIGHT)).status_code == 200
        assert (await one.http.get("/nothing", headers=_RIGHT)).status_code == 404


@in_a_web
async def test_without_a_token_anybody_on_the_machine_is_let_in(web: Web) -> None:
    assert (await web.http.get("/metrics")).status_code == 200


@in_a_world
async def test_a_browser_shows_the_token_once_and_its_session_ends(world: World) -> None:
    async with web(world, **with_token()) as one:
        refused = await one.http.post("/api/v1/session", json={"token": "other"})
        assert refused.status_code == 401
        begun = await one.http.post("/api/v1/session", json={"token": TOKEN})
        cookie = begun.headers["set-cookie"]
        assert begun.status_code == 204
        assert TOKEN not in cookie
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", f"Max-Age={SESSION}"))
        session = {"Cookie": cookie.partition(";")[0]}
        one.http.cookies.clear()
        assert (await one.http.get("/api/v1/jobs", headers=session)).status_code == 200
        await world.clock.sleep(SESSION + 1)
        assert (await one.http.get("/api/v1/jobs", headers=session)).status_code == 401
        ended = await one.http.delete("/api/v1/session")
        assert (ended.status_code, 'natsched_session=""' in ended.headers["set-cookie"]) == (204, True)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:7477", True),
        ("127.0.0.1", True),
        ("localhost:7477", True),
        ("LocalHost.", True),
        ("[::1]:7477", True),
        ("127.8.8.8:1", True),
        ("evil.example:7477", False),
        ("127.0.0.1.evil.example:7477", False),
        ("localhost.evil.example", False),
        ("10.0.0.1:7477", False),
        ("", False),
    ],
)
def test_a_name_that_a_page_bound_to_this_machine_is_not_answered(host: str, answered: bool) -> None:
    @in_a_web
    async def asked(web: Web) -> None:
        for path in ("/healthz", "/api/v1/jobs"):
            answer = await web.http.get(path, headers={"Host": host})
            assert answer.status_code == (200 if answered else 421), answer.text

    asked()


@in_a_world
async def test_another_address_is_asked_by_any_name(world: World) -> None:
    async with web(world, address="0.0.0.0", **with_token()) as one:
        answer = await one.http.get("/api/v1/jobs", headers={"Host": "natsched.internal", **_RIGHT})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "done"),
    [
        ({}, True),
        ({"Origin": BASE}, True),
        ({"Origin": BASE, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8000"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_no_page_of_another_origin_changes_anything(headers: dict[str, str], done: bool) -> None:
    @in_a_web
    async def asked(web: Web) -> None:
        await web.put("/jobs/a", {"every": "1m"})
        for method, path in (("POST", "/jobs/a/pause"), ("DELETE", "/jobs/a")):
            answer: httpx.Response = await web.http.request(method, f"/api/v1{path}", headers=headers)
            assert answer.status_code == (200 if done else 403), answer.text
        assert (await web.http.get("/api/v1/jobs", headers=headers)).status_code == 200

    asked()
