"""The API: each operation does as the client's does, and its answer is as the description says."""

from datetime import timedelta

from natsched.targets.context import Context
from tests.web.harness import Web, in_a_web

_MINUTE = {"every": "1m", "handler": "h"}


@in_a_web
async def test_a_job_is_ensured_shown_and_removed(web: Web) -> None:
    for outcome, job in (("created", _MINUTE), ("unchanged", _MINUTE), ("updated", {**_MINUTE, "priority": "high"})):
        said = await web.put("/jobs/billing.daily", job)
        assert (said["outcome"], said["job"]["id"]) == (outcome, "billing.daily")
    shown = await web.get("/jobs/billing.daily")
    assert (shown["priority"], shown["document"]["spec"]["generation"]) == ("high", 2)
    assert (await web.delete("/jobs/billing.daily"))["id"] == "billing.daily"
    assert (await web.http.get("/api/v1/jobs/billing.daily")).status_code == 404


@in_a_web
async def test_the_body_of_a_job_is_the_table_of_a_file_of_jobs(web: Web) -> None:
    table = {
        "id": "a",
        "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"},
        "target": {"kind": "http", "url": "https://host/hook"},
        "timeout": "5m",
        "retry": {"max_attempts": 5, "base": "2s"},
        "metadata": {"team": "core"},
    }
    job = await web.post("/jobs", table)
    assert (job["timeout"], job["retry"]["base"], job["target"]["url"]) == (300, 2, "https://host/hook")
    many = await web.put("/jobs", {"job": [table, {"id": "b", "at": "2030-01-01T00:00:00Z"}]})
    assert many == {"created": 1, "updated": 0, "unchanged": 1}


@in_a_web
async def test_a_submission_is_once_under_its_key(web: Web) -> None:
    once = {"unique_key": "order-42", "unique_for": "1h"}
    await web.post("/jobs", {"id": "a", **_MINUTE}, **once)
    again = await web.http.post("/api/v1/jobs", json={"id": "b", **_MINUTE}, params=once)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "exists")


@in_a_web
async def test_jobs_are_listed_page_by_page_and_by_prefix(web: Web) -> None:
    await web.put("/jobs", {"job": [{"id": f"{team}.{n}", **_MINUTE} for team in ("a", "b") for n in range(3)]})
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = await web.get("/jobs", limit=4, **after)
        seen += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert sorted(seen) == ["a.0", "a.1", "a.2", "b.0", "b.1", "b.2"]
    assert {job["id"] for job in (await web.get("/jobs", prefix="b"))["jobs"]} == {"b.0", "b.1", "b.2"}


@in_a_web
async def test_a_job_pauses_and_goes_on(web: Web) -> None:
    await web.put("/jobs/a", _MINUTE)
    paused = await web.post("/jobs/a/pause", {"reason": "stock-taking", "until": "2100-01-01T00:00:00Z"})
    assert (paused["state"], paused["reason"], paused["paused_until"]) == (
        "paused",
        "stock-taking",
        "2100-01-01T00:00:00Z",
    )
    assert (await web.post("/jobs/a/resume"))["state"] == "active"
    assert (await web.post("/jobs/a/pause"))["paused_until"] is None
    assert (await web.get("/jobs/a/upcoming"))["runs"] == []


@in_a_web
async def test_the_next_instants_are_told(web: Web) -> None:
    await web.put("/jobs/a", {**_MINUTE, "max_runs": 3})
    upcoming = await web.get("/jobs/a/upcoming", limit=5)
    assert (await web.get("/jobs/a"))["next_run"] == upcoming["runs"][0]["start"]
    assert len(upcoming["runs"]) == 3
    await web.put("/jobs/b", _MINUTE)
    assert len((await web.get("/jobs/b/upcoming", limit=5))["runs"]) == 5


@in_a_web
async def test_a_run_is_asked_for_awaited_and_shown(web: Web) -> None:
    web.world.handler("h", takes=2)
    await web.world.start()
    await web.put("/jobs/a", _MINUTE)
    asked = await web.post("/jobs/a/trigger", {"payload": {"n": 7}})
    place = f"/jobs/a/executions/{asked['execution']}"
    await web.world.clock.sleep(1)
    (running,) = (await web.get(place))["attempts"]
    assert (running["status"], running["manual"]) == ("running", True)
    (ended,) = (await web.get(place, wait="10s"))["attempts"]
    assert (ended["status"], ended["payload"], ended["duration"]) == ("ok", {"n": 7}, 2)
    listed = await web.get("/executions", job="a", status="ok,failed", within="1h")
    assert [record["execution"] for record in listed["executions"]] == [asked["execution"]]
    assert (await web.get("/executions", job="a", status=["failed", "dead"]))["executions"] == []
    assert (await web.get("/executions", since="2100-01-01T00:00:00Z"))["executions"] == []


@in_a_web
async def test_instants_that_have_passed_are_run(web: Web) -> None:
    web.world.handler("h")
    await web.world.start()
    await web.put("/jobs/a", _MINUTE)
    now = web.world.clock.now()
    await web.world.clock.sleep(300)
    span = {"start": now.isoformat(), "end": (now + timedelta(minutes=3)).isoformat()}
    told = await web.post("/jobs/a/backfill", {**span, "dry_run": True})
    asked = await web.post("/jobs/a/backfill", span)
    assert (told["dry_run"], asked["dry_run"]) == (True, False)
    assert told["asked"] == asked["asked"]
    assert len(asked["asked"]) == 2
    place = f"/jobs/a/executions/{asked['asked'][0]['execution']}"
    assert (await web.get(place, wait="10s"))["attempts"][0]["due"] == asked["asked"][0]["due"]


@in_a_web
async def test_an_execution_waits_goes_on_and_is_ended(web: Web) -> None:
    async def waits(ctx: Context) -> None:
        while True:
            await web.world.clock.sleep(1)
            await ctx.checkpoint()

    web.world.registry.handler("h")(waits)
    await web.world.start()
    await web.put("/jobs/a", _MINUTE)
    asked = await web.post("/jobs/a/trigger")
    place = f"/jobs/a/executions/{asked['execution']}"
    await web.world.clock.sleep(3)
    assert await web.post(f"{place}/pause") == asked
    (held,) = (await web.get(place))["attempts"]
    assert held["reason"] == "paused"
    await web.post(f"{place}/resume")
    await web.post(f"{place}/cancel", {"reason": "no use"})
    (ended,) = (await web.get(place, wait="10s"))["attempts"]
    assert (ended["status"], ended["reason"]) == ("cancelled", "no use")


@in_a_web
async def test_what_failed_is_tried_again_alone_or_all_that_is_dead(web: Web) -> None:
    web.world.handler("h", fails=ValueError("boom"))
    await web.world.start()
    await web.put("/jobs/a", {**_MINUTE, "retry": {"max_attempts": 1}})
    asked = await web.post("/jobs/a/trigger")
    place = f"/jobs/a/executions/{asked['execution']}"
    assert (await web.get(place, wait="10s"))["attempts"][0]["status"] == "dead"
    assert await web.post(f"{place}/retry") == asked
    await web.world.clock.sleep(1)
    assert [record["attempt"] for record in (await web.get(place))["attempts"]] == [2, 1]
    assert await web.post("/executions/retry-dead", {"job": "a"}) == {"retried": [asked]}


@in_a_web
async def test_the_replicas_that_live_are_told_and_which_is_primary(web: Web) -> None:
    await web.world.start("one")
    await web.world.clock.sleep(1)
    await web.world.start("two")
    replicas = (await web.get("/replicas"))["replicas"]
    assert [(replica["replica"], replica["primary"]) for replica in replicas] == [("one", True), ("two", False)]
    assert replicas[0]["queues"] == {"default": 1000}
    assert (await web.get("/version"))["natsched"] == replicas[0]["natsched"]
