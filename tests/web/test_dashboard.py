"""The dashboard: its pages say what is, its buttons do what they say, and nothing that users write becomes markup."""

import logging
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Cron, Interval
from natsched.targets.context import Context
from tests.daemon.harness import World, in_a_world
from tests.web.harness import BASE, TOKEN, Web, web, with_token

_FROM_HERE = {"Origin": BASE, "Sec-Fetch-Site": "same-origin"}
_HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"


@asynccontextmanager
async def dashboard(world: World, **http: Any) -> AsyncGenerator[Web, None]:
    """Give a world whose jobs can be looked at."""
    async with web(world, **http) as one:
        world.tasks.start_soon(one.site.index.run)
        yield one


def in_a_dashboard(test: Callable[[Web], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Run a test on the dashboard of a world of its own."""

    async def run(world: World) -> None:
        async with dashboard(world) as one:
            await test(one)

    run.__name__ = test.__name__
    return in_a_world(run)


async def page(web: Web, path: str, **query: str) -> str:
    answer = await web.http.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


async def press(web: Web, path: str, **fields: str) -> httpx.Response:
    """Press a button, and go where it leads."""
    answer = await web.http.post(path, data=fields, headers=_FROM_HERE)
    if answer.status_code != 303:
        return answer
    return await web.http.get(answer.headers["location"])


def jobs_of(text: str) -> list[str]:
    return re.findall(r'<tr role="row" id="job-([^"]+)"', text)


async def some_jobs(web: Web) -> None:
    """Make jobs that are well, fail, run, are paused and were left out, and let some minutes go by."""
    world = web.world
    world.handler("well", takes=2)
    world.handler("fails", takes=1, fails=ConnectionError("refused"))

    async def long(ctx: Context) -> None:
        ctx.check_in("page 12 of 400", {"rows": 3000})
        await world.clock.sleep(10_000)

    world.registry.handler("long")(long)
    await world.start()
    ensure = world.client.ensure_job
    await ensure("billing.daily", Cron("30 2 * * *", timezone="Europe/Berlin"), handler="well")
    await ensure("billing.settle", Interval(minutes=1), handler="fails")
    await ensure("crm.sync", Interval(minutes=1), handler="well", metadata={"note": _HOSTILE})
    await ensure("search.rebuild", Interval(minutes=1), handler="long", queue="default")
    await ensure("reports.close", Interval(minutes=1), handler="well")
    await world.client.pause_job("reports.close", reason=_HOSTILE)
    await world.clock.sleep(400)


class Links(HTMLParser):
    """What a page leads to, and what it asks the browser to load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.add(given["href"])
        if tag in ("script", "link", "img"):
            self.loaded.add(given.get("src") or given["href"])
        self.ids += [given["id"]] if "id" in given else []
        self.inline += [name for name in given if name.startswith("on") or name == "style"]


@in_a_dashboard
async def test_every_link_of_every_page_leads_somewhere(web: Web) -> None:
    await some_jobs(web)
    seen, ahead = set[str](), ["/"]
    while ahead:
        path = ahead.pop()
        seen.add(path)
        links = Links(await page(web, path))
        assert len(links.ids) == len(set(links.ids)), (path, links.ids)
        assert not links.inline, path
        for loaded in links.loaded:
            assert (await web.http.get(loaded)).status_code == 200, loaded
        for link in links.links:
            target = urljoin(BASE + path, link)
            assert target.startswith(f"{BASE}/"), (path, link)
            way = target.removeprefix(BASE).partition("#")[0]
            if way not in seen and way not in ahead and len(seen) < 120:
                ahead.append(way)
    assert {urlsplit(path).path for path in seen} >= {"/", "/executions", "/replicas", "/jobs/billing.daily"}
    assert any(path.endswith("/cancel") for path in seen)


@in_a_dashboard
async def test_jobs_are_filtered_and_ordered_and_the_address_says_how(web: Web) -> None:
    await some_jobs(web)
    assert jobs_of(await page(web, "/"))[:2] == ["billing.settle", "search.rebuild"]
    for query, jobs in (
        ({"q": "SETT"}, ["billing.settle"]),
        ({"prefix": "billing", "sort": "id"}, ["billing.daily", "billing.settle"]),
        ({"prefix": "bill"}, []),
        ({"state": "paused"}, ["reports.close"]),
        ({"state": "running"}, ["search.rebuild"]),
        ({"state": "failing"}, ["billing.settle"]),
        ({"last": "ok"}, ["crm.sync"]),
        ({"kind": "cron"}, ["billing.daily"]),
        ({"queue": "other"}, []),
    ):
        assert jobs_of(await page(web, "/", **query)) == jobs, query
    text = await page(web, "/", sort="id", kind="interval")
    assert 'href="/?state=paused&amp;kind=interval&amp;sort=id"' in text
    assert (await web.http.get("/", params={"sort": "colour"})).status_code == 400


@in_a_dashboard
async def test_pages_of_jobs_follow_each_other_both_ways(web: Web) -> None:
    ids = [f"job-{n:03d}" for n in range(250)]
    await web.world.client.ensure_jobs({"id": job, "schedule": Interval(hours=1)} for job in ids)
    pages, text = [], await page(web, "/", sort="id")
    while True:
        pages.append(jobs_of(text))
        following = re.search(r'rel="next" href="([^"]+)"', text)
        if following is None:
            break
        text = await page(web, following[1].replace("&amp;", "&"))
    assert [job for jobs in pages for job in jobs] == ids
    before = re.search(r'rel="prev" href="([^"]+)"', text)
    assert before is not None
    assert jobs_of(await page(web, before[1].replace("&amp;", "&"))) == pages[1]


@in_a_dashboard
async def test_the_index_follows_what_is_changed_removed_and_left_alone(web: Web) -> None:
    index, client = web.site.index, web.world.client
    for job in ("a", "b", "c"):
        await client.ensure_job(job, Interval(hours=1))
    assert jobs_of(await page(web, "/", sort="id")) == ["a", "b", "c"]
    await client.pause_job("a", until=web.world.clock.now() + timedelta(seconds=1.5))
    await client.remove_job("b")
    await web.world.clock.sleep(1)
    assert jobs_of(await page(web, "/", sort="id")) == ["a", "c"]  # though no scan tells of b
    assert (index.counts.states["paused"], index.counts.states["active"]) == (1, 1)
    await web.world.clock.sleep(0.7)
    assert jobs_of(await page(web, "/", state="active", sort="id")) == ["a", "c"]  # though nothing was written
    assert index.counts.states["paused"] == 0
    await web.world.clock.sleep(1300)
    assert not index.entries
    assert jobs_of(await page(web, "/", sort="id")) == ["a", "c"]


@in_a_dashboard
async def test_a_job_shows_what_is_planned_runs_ran_and_did_not_run(web: Web) -> None:
    await some_jobs(web)
    text = await page(web, "/jobs/search.rebuild")
    assert "page 12 of 400" in text
    assert 'class="chip miss"' in text  # skipped, while it ran
    assert "Cancel" in text
    assert text.count("<rect class=") > 3
    text = await page(web, "/jobs/billing.settle")
    assert "ConnectionError: refused" in text
    assert ">Retry<" in text
    assert 'aria-label="6 attempts took' in text


@in_a_dashboard
async def test_what_clocks_do_is_said(web: Web) -> None:
    await web.world.client.ensure_job("nightly", Cron("30 2 L * *", timezone="Europe/Berlin"))
    assert "clocks have gone forward: UTC+1 to UTC+2" in await page(web, "/jobs/nightly")


@in_a_dashboard
async def test_nothing_that_users_write_becomes_markup(web: Web) -> None:
    await some_jobs(web)

    async def hostile_handler(_: Context) -> None:
        logging.getLogger("app").warning("told %s", _HOSTILE)
        raise ValueError(_HOSTILE)

    web.world.registry.handler("hostile")(hostile_handler)
    await web.world.client.ensure_job("hostile", Interval(hours=1), handler="hostile", payload=_HOSTILE)
    handle = await web.world.client.trigger_job("hostile", {"a": _HOSTILE})
    await web.world.clock.sleep(5)
    one = f"/executions/hostile/{handle.execution_id}"
    for path in ("/", "/executions", "/jobs/hostile", "/jobs/reports.close", "/jobs/crm.sync", one, f"{one}/cancel"):
        text = await page(web, path)
        assert "<script>" not in text.replace('<script src="', ""), path
        assert "<img" not in text, path
    text = await page(web, one)
    assert "&lt;script&gt;" in text
    assert "warning   told " in text
    for path, query in (
        ("/", {"q": _HOSTILE, "prefix": _HOSTILE, "queue": _HOSTILE, "last": _HOSTILE}),
        ("/", {"after": f"{_HOSTILE}~{_HOSTILE}", "said": _HOSTILE}),
        ("/jobs/hostile", {"said": _HOSTILE}),
        ("/login", {"next": _HOSTILE}),
    ):
        answer = await web.http.get(path, params=query)
        assert "<script>" not in answer.text, path
        assert "<img" not in answer.text, path
    hostile = await web.http.get(f"/jobs/{_HOSTILE.replace('/', '%2F')}")
    assert hostile.status_code in (404, 422)
    assert "<script>" not in hostile.text


@in_a_dashboard
async def test_every_page_forbids_what_it_does_not_need(web: Web) -> None:
    await some_jobs(web)
    for path, status in (("/", 200), ("/jobs/crm.sync", 200), ("/jobs/none", 404), ("/executions?status=x", 400)):
        answer = await web.http.get(path)
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "same-origin"  # else nobody says whose form it is
        assert answer.headers["cache-control"] == "no-store"


@in_a_dashboard
async def test_buttons_do_what_they_say(web: Web) -> None:
    await some_jobs(web)
    client = web.world.client
    said = await press(web, "/jobs/crm.sync/pause", span="1h", reason="stock-taking")
    shown = await client.get_job("crm.sync")
    assert (shown.state, shown.reason, shown.paused_until is None) == ("paused", "stock-taking", False)
    assert "Paused: no more" in said.text
    await press(web, "/jobs/crm.sync/resume")
    assert (await client.get_job("crm.sync")).state == "active"
    await press(web, "/jobs/billing.daily/trigger")
    await web.world.clock.sleep(5)
    (ran,) = await client.executions("billing.daily")
    assert (ran.manual, ran.status) == (True, ExecutionStatus.OK)
    (running,) = await client.executions("search.rebuild", status=["running"])
    said = await press(web, f"/executions/search.rebuild/{running.execution}/cancel", reason="too slow")
    assert said.status_code == 200
    await web.world.clock.sleep(5)
    (ended, *_) = await client.executions("search.rebuild", running.execution)
    assert (ended.status, ended.reason) == (ExecutionStatus.CANCELLED, "too slow")
    (failed, *_) = await client.executions("billing.settle", status=["failed"])
    await press(web, f"/executions/billing.settle/{failed.execution}/retry")
    await web.world.clock.sleep(5)
    assert (await client.executions("billing.settle", failed.execution))[0].attempt == 2


@in_a_dashboard
async def test_what_a_button_cannot_do_is_said_in_a_page(web: Web) -> None:
    await some_jobs(web)
    for path, fields, status in (
        ("/jobs/none/trigger", {}, 404),
        ("/jobs/crm.sync/pause", {"span": "soon"}, 400),
        ("/executions/crm.sync/none/retry", {}, 404),
        ("/executions/crm.sync/none/cancel", {}, 422),
    ):
        answer = await web.http.post(path, data=fields, headers=_FROM_HERE)
        assert (answer.status_code, "Traceback" in answer.text) == (status, False), (path, answer.text)
        assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": BASE},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_buttons_are_pressed_on_pages_of_this_server_alone(headers: dict[str, str]) -> None:
    async def run(world: World) -> None:
        async with dashboard(world) as one:
            await world.client.ensure_job("a", Interval(hours=1))
            for path in ("/jobs/a/pause", "/jobs/a/trigger", "/login", "/logout", "/theme"):
                answer = await one.http.post(path, data={"theme": "dark"}, headers=headers)
                assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), path
            assert (await world.client.get_job("a")).state == "active"

    in_a_world(run)()


@in_a_world
async def test_without_the_token_a_person_is_led_to_the_door_and_back(world: World) -> None:
    async with dashboard(world, **with_token()) as one:
        person = {"Accept": "text/html"}
        led = await one.http.get("/jobs/a?said=paused", headers=person)
        assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2Fjobs%2Fa%3Fsaid%3Dpaused")
        assert (await one.http.get("/")).status_code == 401
        assert (await one.http.post("/jobs/a/pause", headers=_FROM_HERE)).status_code == 401
        door = await one.http.get(led.headers["location"], headers=person)
        assert 'value="/jobs/a?said=paused"' in door.text
        for path in Links(door.text).loaded:
            assert (await one.http.get(path)).status_code == 200
        wrong = await one.http.post("/login", data={"token": "x", "next": "/"}, headers=_FROM_HERE)
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        right = await one.http.post("/login", data={"token": TOKEN, "next": "/replicas"}, headers=_FROM_HERE)
        assert (right.status_code, right.headers["location"]) == (303, "/replicas")
        assert all(word in right.headers["set-cookie"] for word in ("HttpOnly", "SameSite=strict"))
        assert (await one.http.get("/replicas", headers=person)).status_code == 200
        left = await one.http.post("/logout", headers=_FROM_HERE)
        assert left.headers["location"] == "/login"
        assert (await one.http.get("/replicas", headers=person)).status_code == 303


@pytest.mark.parametrize("way", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "data:,1"])
def test_the_door_leads_nowhere_else(way: str) -> None:
    async def run(world: World) -> None:
        async with dashboard(world, **with_token()) as one:
            answer = await one.http.post("/login", data={"token": TOKEN, "next": way}, headers=_FROM_HERE)
            assert answer.headers["location"] == "/"

    in_a_world(run)()


@in_a_dashboard
async def test_a_viewer_chooses_dark_or_light(web: Web) -> None:
    assert "data-theme" not in await page(web, "/")
    chosen = await web.http.post("/theme", data={"theme": "dark", "next": "/replicas"}, headers=_FROM_HERE)
    assert chosen.headers["location"] == "/replicas"
    assert '<html lang="en" data-theme="dark">' in await page(web, "/")
    await web.http.post("/theme", data={"theme": _HOSTILE}, headers=_FROM_HERE)
    assert "data-theme" not in await page(web, "/")


@in_a_dashboard
async def test_replicas_and_what_waits_are_shown(web: Web) -> None:
    await some_jobs(web)
    await web.world.client.ensure_job("far", Interval(seconds=1), queue="nobody")
    await web.world.clock.sleep(5)
    text = await page(web, "/replicas")
    assert "r1" in text
    assert "primary" in text
    assert "No replica serves the queue nobody" in text
