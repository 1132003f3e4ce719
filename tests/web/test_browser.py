"""The dashboard in Chromium, as a person uses it: with a mouse, with the keyboard alone, on a phone, without scripts.

Playwright's own package and not npm's: the pages are driven in the language, and in the process, of the replica.
"""

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from natsched.client.client import Client
from natsched.clock import SystemClock
from natsched.config.http import Http
from natsched.core.executions import ExecutionStatus
from natsched.core.schedules import Cron, Interval, Once
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.replica import Replica
from natsched.errors import ExecutionFailed
from natsched.memory.backend import MemoryBackend
from natsched.protocol.changing import Settings
from natsched.protocol.operations import Operations
from natsched.targets.context import Context
from natsched.targets.registry import Registry
from natsched.web.app import build_app
from natsched.web.feed import Feed
from natsched.web.index import JobIndex
from natsched.web.server import Server
from natsched.web.site import Site
from natsched.wiring import random_bits

pytestmark = pytest.mark.anyio

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_CHIPS_FIT = """[...document.querySelectorAll("td .chip")].every(
    chip => chip.getBoundingClientRect().right <= chip.closest("td").getBoundingClientRect().right + 0.5)"""
_PAGES = ("/", "/?q=nothing", "/jobs/shop.orders.sync", "/jobs/shop.index.rebuild", "/executions", "/replicas")
_FAR = Once(datetime(2090, 1, 1, tzinfo=UTC))


@dataclass
class Shop:
    """A replica with some jobs, served at `url`."""

    url: str
    client: Client
    go_on: anyio.Event
    wrong: list[str] = field(default_factory=list)

    async def visit(self, browser: Browser, **options: Any) -> Page:
        """Open a page that notes what its console says and whom it asks."""
        context = await browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._asked)
        await page.goto(self.url)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.wrong.append(f"asks {request.url}")


@asynccontextmanager
async def shop() -> AsyncGenerator[Shop, None]:
    """Run a replica on memory and serve it."""
    clock, registry, go_on = SystemClock(), Registry(), anyio.Event()

    @registry.handler("sync")
    async def sync(_: Context) -> dict[str, int]:
        await go_on.wait()
        return {"rows": 41}

    @registry.handler("rebuild")
    async def rebuild(ctx: Context) -> None:
        ctx.check_in("page 12 of 400", {"rows": 3000})
        await anyio.sleep_forever()

    @registry.handler("settle")
    async def settle(_: Context) -> None:
        raise ConnectionError("payments.internal refused the connection " + "x" * 120)

    async with MemoryBackend(clock) as backend:
        operations = Operations(backend, clock, Settings(), random_bits)
        client = Client(backend, operations, clock)
        replica = Replica(backend, clock, ReplicaOptions(name="r1"), registry, operations, random_bits)
        feed, index = Feed(backend.history, clock), JobIndex(backend.jobs, clock)
        http = Http(port=0)
        site = Site(
            client=client,
            backend=backend,
            clock=clock,
            condition=replica.condition,
            feed=feed,
            index=index,
            http=http,
        )
        server = Server(build_app(site), http, clock)
        await client.ensure_job("shop.orders.sync", _FAR, handler="sync")
        await client.ensure_job("shop.index.rebuild", Interval(hours=6), handler="rebuild")
        await client.ensure_job("shop.payments.settle", _FAR, handler="settle")
        await client.ensure_job("mail.digest", Cron("30 2 L * *", timezone="Europe/Berlin"), handler="sync")
        await client.ensure_job("a." + "very-long-name-" * 6 + "job", _FAR, handler="sync")
        async with anyio.create_task_group() as tasks:
            for run in (feed.run, index.run):
                tasks.start_soon(run)
            await tasks.start(server.run)
            await tasks.start(replica.run)
            with suppress(ExecutionFailed):
                await (await client.trigger_job("shop.payments.settle")).wait(10)
            await client.trigger_job("shop.index.rebuild")
            assert server.url is not None
            yield Shop(server.url, client, go_on)
            feed.close()
            await server.stop()
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser, None]:
    path = shutil.which("chromium")
    if path is None:
        assert os.environ.get("CI") != "true", "the dashboard's tests need chromium"
        pytest.skip("the dashboard's tests need chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until what has the focus is called so, and see that the focus can be seen."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(
            """() => { const it = document.activeElement, style = getComputedStyle(it);
            return [it.getAttribute("aria-label") || it.labels?.[0]?.innerText || it.innerText || it.name || "",
                    style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0] }"""
        )
        if name.strip().startswith(text):
            assert outline, f"{text} has the focus, and nobody sees that"
            return
    raise AssertionError(f"Tab does not lead to {text}")


async def test_a_persons_way_with_the_mouse() -> None:
    async with shop() as it, chromium() as browser:
        page = await it.visit(browser)
        assert await page.locator("tr[id^=job-]").count() == 5
        await page.get_by_label("Id contains").fill("orders")
        await page.wait_for_url("**q=orders**")
        await page.locator("tr[id='job-mail.digest']").wait_for(state="detached")
        await page.get_by_role("button", name="Filter").click()
        assert await page.locator("tr[id^=job-]").count() == 1
        await page.get_by_role("link", name="shop.orders.sync").click()

        await page.get_by_text("Pause…").click()
        await page.get_by_label("Reason").fill("stock-taking")
        await page.get_by_role("button", name="Pause the job").click()
        await page.locator("#facts", has_text="stock-taking").wait_for()
        assert (await it.client.get_job("shop.orders.sync")).state == "paused"
        await page.get_by_role("button", name="Resume").click()
        await page.locator("#state", has_text="active").wait_for()

        await page.get_by_role("button", name="Run now").click()
        await page.locator("#running .chip.busy").wait_for()
        await page.locator("#live.on").wait_for()
        await page.evaluate("window.stayed = true")
        it.go_on.set()
        await page.locator("#history tbody .chip.good").wait_for()
        assert await page.evaluate("window.stayed"), "its end was shown in place"
        await page.locator("#running tbody").wait_for(state="detached")
        assert "shop.orders.sync: ok" in await page.locator("#told").inner_text()

        await page.goto(f"{it.url}/executions")
        await page.get_by_role("link", name="Cancel by hand of shop.index.rebuild").click()
        await page.get_by_label("Reason").fill("too slow")
        await page.get_by_role("button", name="Cancel the execution").click()
        await page.locator("#state", has_text="cancelled").wait_for()
        (ended,) = await it.client.executions("shop.index.rebuild", status=[ExecutionStatus.CANCELLED])
        assert ended.reason == "too slow"
        await page.get_by_role("button", name="Retry").click()
        await page.locator("#attempts h2", has_text="Attempt 2").wait_for()
        await page.context.close()
        assert it.wrong == []


async def test_a_persons_way_with_the_keyboard_alone() -> None:
    async with shop() as it, chromium() as browser:
        page = await it.visit(browser)
        press, write = page.keyboard.press, page.keyboard.type
        await tab_to(page, "Skip to the content")
        await press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await tab_to(page, "Id contains")
        await write("orders")
        await press("Enter")
        await page.wait_for_url("**q=orders**")
        await tab_to(page, "shop.orders.sync")
        await press("Enter")
        await page.wait_for_url("**/jobs/shop.orders.sync")
        await tab_to(page, "Pause…")
        await press("Enter")
        await tab_to(page, "Reason")
        await write("stock-taking")
        async with page.expect_response(lambda answer: answer.request.resource_type == "fetch") as brought:
            pass  # it is brought up to date meanwhile
        await (await brought.value).finished()
        assert await page.get_by_label("Reason").input_value() == "stock-taking"
        await tab_to(page, "Pause the job")
        await press("Enter")
        await page.locator("#facts", has_text="stock-taking").wait_for()
        await tab_to(page, "Resume")
        await press("Enter")
        await page.locator("#state", has_text="active").wait_for()
        await page.context.close()
        assert it.wrong == []


async def test_pages_fit_a_phone_and_a_large_print_in_dark_and_light_and_do_without_scripts() -> None:
    async with shop() as it, chromium() as browser:
        (failed,) = await it.client.executions("shop.payments.settle")
        one = f"/executions/shop.payments.settle/{failed.execution}"
        grounds = {}
        for scheme, width in (("light", 360), ("dark", 640)):
            page = await it.visit(
                browser,
                color_scheme=scheme,
                viewport={"width": width, "height": 740},
                java_script_enabled=width == 640,
            )
            for path in (*_PAGES, one, f"{one}/cancel", "/jobs/mail.digest"):
                await page.goto(it.url + path)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
                assert await page.evaluate(_CHIPS_FIT), (path, width)
            await page.get_by_text("Pause…").click()
            await page.get_by_label("Reason").wait_for()
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), ("Pause…", width)
            grounds[scheme] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            await page.goto(it.url)
            await page.get_by_role("button", name="Theme: auto. Change to light").click()
            await page.get_by_role("button", name="Theme: light").wait_for()
            grounds[f"{scheme} made light"] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            await page.context.close()
        assert grounds["light"] == grounds["light made light"] == grounds["dark made light"] != grounds["dark"]

        page = await it.visit(browser, java_script_enabled=False)
        await page.get_by_role("link", name="shop.orders.sync").click()
        await page.get_by_role("button", name="Run now").click()
        await page.locator(".note.good", has_text="A run was asked for").wait_for()
        it.go_on.set()
        await page.get_by_role("link", name="Refresh").click()
        await page.locator("#history tbody .chip.good").wait_for()
        await page.context.close()
        assert it.wrong == []
