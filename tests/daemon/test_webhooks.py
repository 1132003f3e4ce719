"""Webhooks: every change of an execution is told, to each URL by itself, until it is taken or outdated."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from natsched.core.executions import ExecutionStatus, Record
from natsched.core.schedules import Interval, Once
from natsched.core.webhooks import Subscription, Webhook
from natsched.daemon.books import Books
from natsched.daemon.events import NoticeDropped
from natsched.daemon.options import WebhookOptions
from natsched.errors import Unavailable
from natsched.protocol.heralding import Herald
from natsched.targets.context import Context
from natsched.targets.posting import PostFailed
from tests.daemon.harness import Member, World, in_a_world

HOOK = "https://a.example/hook"
OTHER = "https://b.example/hook"
SECRET = "NATSCHED_SECRET_HOOK"


@dataclass(slots=True)
class FakePoster:
    """Notes what is posted; answers 500 at URLs that are `down`, and never at those that are `mute`."""

    world: World
    down: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    posts: list[tuple[float, str, bytes, Mapping[str, str]]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, limit: float) -> int:
        self.posts.append((self.world.clock.monotonic(), url, body, dict(headers)))
        if url in self.mute:
            await anyio.sleep(limit)
            raise PostFailed(f"no answer within {limit:g} s")
        return 500 if url in self.down else 204

    async def close(self) -> None:
        """There is nothing to close."""

    def told(self, url: str = HOOK) -> list[dict[str, Any]]:
        return [json.loads(body) for _, to, body, _ in self.posts if to == url]

    def statuses(self, url: str = HOOK) -> list[str]:
        return [body["status"] for body in self.told(url)]


def poster_of(world: World, *, all_jobs: bool = False, **options: Any) -> FakePoster:
    """Give the world a poster, and with `all_jobs` a webhook for everything."""
    poster = FakePoster(world)
    world.poster = poster
    subscriptions = (Subscription(webhook=Webhook(url=HOOK)),) if all_jobs else ()
    chosen = WebhookOptions(subscriptions=subscriptions, **options)
    world.options = type(world.options)(name="r", webhooks=chosen)
    return poster


async def once(world: World, job: str = "a", after: float = 2, **options: Any) -> None:
    at = world.clock.now() + timedelta(seconds=after)
    await world.client.submit_job(job, Once(at), **{"handler": "h", **options})


def make_up(world: World) -> None:
    """Register what the tests run: h does well, bad fails, slow takes long."""
    world.handler()
    world.handler("bad", fails=RuntimeError("broken"))
    world.handler("slow", takes=600)


@in_a_world
async def test_a_run_is_told_when_it_starts_and_when_it_ended(world: World) -> None:
    poster = poster_of(world)
    make_up(world)
    await world.start()
    await once(world, webhook=HOOK, queue="default")
    await once(world, "b")
    await world.clock.sleep(5)
    running, ended = poster.told()
    (record,) = await world.client.executions("a")
    assert running["id"] == f"{record.execution}.1.running"
    assert ended["id"] == f"{record.execution}.1.ok"
    assert (running["revision"], ended["revision"]) == (4, 6)
    assert running["at"] == running["due"] == ended["due"]
    assert {name: ended[name] for name in ("job", "execution", "attempt", "status", "reason", "error")} == {
        "job": "a", "execution": record.execution, "attempt": 1, "status": "ok", "reason": None, "error": None,
    }  # fmt: skip
    assert [headers["Natsched-Event"] for _, _, _, headers in poster.posts] == [running["id"], ended["id"]]
    assert all("Natsched-Signature" not in headers for _, _, _, headers in poster.posts)


@pytest.mark.parametrize(
    ("options", "statuses"),
    [
        ({"handler": "bad"}, ["running", "failed"]),
        ({"handler": "slow", "timeout": 1}, ["running", "timed_out"]),
        (
            {"handler": "bad", "retry": {"max_attempts": 2, "base": 1}},
            ["running", "retrying", "running", "dead"],
        ),
        ({"handler": "bad", "history": "none"}, ["running", "failed"]),
        ({"overlap": "allow", "delivery": "at_most_once"}, ["running", "ok"]),
        ({"target": {"kind": "shell", "argv": ["ls"]}, "handler": None}, []),
    ],
)
def test_every_change_is_told_in_order(options: dict[str, Any], statuses: list[str]) -> None:
    async def test(world: World) -> None:
        poster = poster_of(world)
        make_up(world)
        await world.start()
        await once(world, webhook={"url": HOOK}, **options)
        await world.clock.sleep(20)
        assert poster.statuses() == statuses
        revisions = [body["revision"] for body in poster.told()]
        assert revisions == sorted(set(revisions))

    in_a_world(test)()


@pytest.mark.parametrize("history", ["all", "none"])
def test_what_did_not_run_is_told_with_its_reason_whatever_the_history_keeps(history: Any) -> None:
    async def test(world: World) -> None:
        poster = poster_of(world)
        make_up(world)
        await world.start()
        hook = {"url": HOOK, "statuses": ["skipped"]}
        await world.client.ensure_job("a", Interval(seconds=10), handler="slow", history=history, webhook=hook)
        await world.clock.sleep(25)
        (told,) = poster.told()
        assert (told["status"], told["attempt"], told["revision"]) == ("skipped", 0, 2)
        assert told["reason"] == "the run before it has not ended"
        assert len(await world.backend.history.list("a")) == (history == "all")

    in_a_world(test)()


@in_a_world
async def test_a_webhook_for_all_jobs_hears_of_those_below_its_prefix_and_its_statuses(world: World) -> None:
    poster = poster_of(world)
    hooks = (
        Subscription(webhook=Webhook(url=HOOK, statuses=(ExecutionStatus.FAILED,)), jobs="team"),
        Subscription(webhook=Webhook(url=OTHER)),
    )
    world.options = type(world.options)(name="r", webhooks=WebhookOptions(subscriptions=hooks))
    make_up(world)
    await world.start()
    for job in ("team.a", "teams.b"):
        await once(world, job, handler="bad")
    await once(world, "team.c", webhook=OTHER)
    await world.clock.sleep(5)
    assert [(body["job"], body["status"]) for body in poster.told()] == [("team.a", "failed")]
    assert sorted((body["job"], body["status"]) for body in poster.told(OTHER)) == [
        ("team.a", "failed"), ("team.a", "running"), ("team.c", "ok"), ("team.c", "running"),
        ("teams.b", "failed"), ("teams.b", "running"),
    ]  # fmt: skip


@in_a_world
async def test_changes_that_a_client_makes_are_told_too(world: World) -> None:
    poster = poster_of(world)
    make_up(world)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", webhook=HOOK)
    await once(world, "b", handler="bad", webhook=OTHER)
    await world.clock.sleep(15)
    await world.client.ensure_job("a", Interval(seconds=20), handler="h", webhook=HOOK)
    await world.start()
    await world.clock.sleep(3)
    assert poster.statuses() == ["superseded"]
    (record,) = await world.client.executions("b")
    await world.client.retry_execution("b", record.execution)
    await world.clock.sleep(3)
    assert poster.statuses(OTHER) == ["running", "failed", "retrying", "running", "failed"]
    assert [body["revision"] for body in poster.told(OTHER)] == [4, 6, 7, 8, 10]


@in_a_world
async def test_a_shutdown_is_told_and_then_the_run_elsewhere(world: World) -> None:
    poster = poster_of(world)
    make_up(world)
    member = await world.start(shutdown_grace=timedelta(seconds=1))
    await once(world, handler="slow", timeout=20, webhook=HOOK)
    await world.clock.sleep(5)
    member.replica.stop()
    await world.clock.sleep(150)  # longer than the window, which would hide a second one
    await world.start("r2")
    await world.clock.sleep(40)
    assert poster.statuses() == ["running", "interrupted", "running", "timed_out"]
    assert [body["revision"] for body in poster.told()] == [4, 5, 8, 10]
    assert poster.told()[1]["reason"] == "its replica shut down"


@in_a_world
async def test_a_death_is_told_by_who_takes_over(world: World) -> None:
    poster = poster_of(world)
    make_up(world)
    member = await world.start("r1")
    await once(world, handler="slow", timeout=20, webhook=HOOK)
    await world.clock.sleep(5)
    member.kill()
    await world.start("r2")
    await world.clock.sleep(60)
    assert poster.statuses() == ["running", "interrupted", "running", "timed_out"]
    assert [body["revision"] for body in poster.told()] == [4, 5, 8, 10]
    assert (poster.told()[1]["reason"], poster.told()[2]["replica"]) == ("its replica died", "r2")


@in_a_world
async def test_a_receiver_that_was_down_gets_everything_in_the_end_and_others_do_not_wait(world: World) -> None:
    poster = poster_of(world, all_jobs=True)
    poster.down.add(HOOK)
    make_up(world)
    await world.start()
    for number in range(5):
        await once(world, f"job{number}", webhook=OTHER)
    await world.clock.sleep(5)
    assert sorted(set(poster.statuses(OTHER))) == ["ok", "running"]
    assert len(poster.told(OTHER)) == 10
    await world.clock.sleep(300)
    tried = [at for at, url, body, _ in poster.posts if url == HOOK and json.loads(body)["id"].endswith("ok")]
    poster.posts.clear()
    poster.down.clear()
    await world.clock.sleep(400)
    assert poster.statuses() == ["ok"] * 5, "the running ones are outdated"
    assert len(tried) == 9 * 5, "after 1, 2, 4 ... 256 s"
    await world.clock.sleep(1000)
    assert len(poster.posts) == 5


@in_a_world
async def test_delays_grow_from_a_second_to_five_minutes(world: World) -> None:
    poster = poster_of(world)
    poster.down.add(HOOK)
    make_up(world)
    await world.start()
    await once(world, webhook={"url": HOOK, "statuses": ["ok"]})
    await world.clock.sleep(1500)
    times = [at for at, *_ in poster.posts]
    gaps = [round(later - sooner) for sooner, later in pairwise(times)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


@in_a_world
async def test_a_receiver_that_never_takes_it_is_given_up_and_that_is_told(world: World) -> None:
    poster = poster_of(world, give_up_after=timedelta(minutes=10))
    poster.down.add(HOOK)
    make_up(world)
    await world.start()
    await once(world, webhook={"url": HOOK, "statuses": ["ok"]})
    await world.clock.sleep(590)
    assert world.told(NoticeDropped) == []
    await world.clock.sleep(400)
    (dropped,) = world.told(NoticeDropped)
    assert dropped.reason.startswith("the webhook at a.example did not take it for too long, in ")
    number = len(poster.posts)
    await world.clock.sleep(400)
    assert len(poster.posts) == number


@in_a_world
async def test_a_running_that_its_end_has_overtaken_is_dropped(world: World) -> None:
    poster = poster_of(world)
    poster.down.add(HOOK)
    make_up(world)
    world.handler("brief", takes=5)
    await world.start()
    await once(world, handler="brief", webhook=HOOK)
    await world.clock.sleep(4)
    assert set(poster.statuses()) == {"running"}
    await world.clock.sleep(30)
    (dropped,) = world.told(NoticeDropped)
    assert dropped.outdated
    assert dropped.id.endswith(".1.running")
    poster.down.clear()
    poster.posts.clear()
    await world.clock.sleep(100)
    assert poster.statuses() == ["ok"]


@in_a_world
async def test_a_retrying_that_the_next_attempt_has_overtaken_is_dropped(world: World) -> None:
    poster = poster_of(world)
    poster.down.add(HOOK)
    make_up(world)
    await world.start()
    hook = {"url": HOOK, "statuses": ["retrying", "dead"]}
    await once(world, handler="bad", webhook=hook, retry={"max_attempts": 2, "base": 20, "jitter": 0})
    await world.clock.sleep(15)
    assert set(poster.statuses()) == {"retrying"}
    assert world.told(NoticeDropped) == []
    await world.clock.sleep(60)
    assert [dropped.id.rpartition(".")[2] for dropped in world.told(NoticeDropped)] == ["retrying"]
    poster.down.clear()
    await world.clock.sleep(100)
    assert poster.statuses()[-1] == "dead"


@in_a_world
async def test_a_signature_is_made_anew_for_each_attempt_and_verifies(world: World) -> None:
    poster = poster_of(world)
    poster.down.add(HOOK)
    make_up(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECRET, "s3cret")
        await world.start()
        await once(world, webhook={"url": HOOK, "secret": SECRET, "statuses": ["ok"]})
        await world.clock.sleep(4)
    times = set()
    for _, _, body, headers in poster.posts:
        parts = dict(part.split("=") for part in headers["Natsched-Signature"].split(","))
        wanted = hmac.new(b"s3cret", parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(parts["v1"], wanted)
        times.add(parts["t"])
    assert len(times) == len(poster.posts) > 1


@in_a_world
async def test_without_its_secret_nothing_is_sent_until_it_is_there(world: World) -> None:
    poster = poster_of(world)
    make_up(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SECRET, raising=False)
        await world.start()
        await once(world, webhook={"url": HOOK, "secret": SECRET, "statuses": ["ok"]})
        await world.clock.sleep(20)
        assert poster.posts == []
        patch.setenv(SECRET, "s3cret")
        await world.clock.sleep(20)
        assert poster.statuses() == ["ok"]


@in_a_world
async def test_a_receiver_that_never_answers_keeps_its_notice_from_nobody_else(world: World) -> None:
    poster = poster_of(world)
    poster.mute.add(HOOK)
    make_up(world)
    await world.start()
    await once(world, webhook={"url": HOOK, "statuses": ["ok"]})
    await world.clock.sleep(11)
    assert len(poster.posts) == 1, "in progress for longer than ack_wait, yet with nobody else"
    await world.clock.sleep(5)
    assert len(poster.posts) == 2


@pytest.mark.parametrize("death", ["before the notice", "before the finish"])
def test_a_death_between_record_and_finish_leaves_nothing_untold(death: str) -> None:
    async def test(world: World) -> None:
        poster = poster_of(world)
        make_up(world)
        with pytest.MonkeyPatch.context() as patch:
            member: list[Member] = []

            async def die(*_: object, **__: object) -> bool:
                member[0].kill()
                await anyio.lowlevel.checkpoint()
                raise AssertionError("dead")

            if death == "before the notice":
                original = Herald.tell

                async def tell(self: Herald, spec: Any, record: Record, **rest: Any) -> None:
                    if record.status is ExecutionStatus.OK:
                        await die()
                    await original(self, spec, record, **rest)

                patch.setattr(Herald, "tell", tell)
            else:
                patch.setattr(Books, "_finish", die)
            member.append(await world.start())
            await once(world, webhook=HOOK)
            await world.clock.sleep(4)
        assert [record.status for record in await world.backend.history.list("a")] == [ExecutionStatus.OK]
        await world.start("r2")
        await world.clock.sleep(30)
        assert len(world.calls) == 1
        assert (await world.client.get_job("a")).counts == {ExecutionStatus.OK: 1}
        assert "ok" in poster.statuses()

    in_a_world(test)()


@in_a_world
async def test_an_outage_of_the_outbox_holds_up_the_finish_but_not_the_start(world: World) -> None:
    poster = poster_of(world)
    make_up(world)
    outbox = world.backend.outbox
    original = type(outbox).put
    out = True

    async def put(self: Any, notice: Any) -> None:
        if out:
            raise Unavailable
        await original(self, notice)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(outbox), "put", put)
        await world.start()
        await once(world, webhook=HOOK)
        await world.clock.sleep(10)
        assert (len(world.calls), world.ends) == (1, [])
        out = False
        await world.clock.sleep(20)
    assert [record.status for record in world.ends] == [ExecutionStatus.OK]
    assert sorted(poster.statuses()) == ["ok", "running"]


@in_a_world
async def test_a_job_without_a_webhook_tells_nobody_and_asks_nothing(world: World) -> None:
    poster = poster_of(world)
    make_up(world)

    async def never(*_: object, **__: object) -> None:
        raise AssertionError("told")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Herald, "tell", never)
        await world.start()
        await once(world, handler="bad", retry={"max_attempts": 2, "base": 1})
        await world.clock.sleep(10)
    assert [record.status for record in world.ends] == [ExecutionStatus.RETRYING, ExecutionStatus.DEAD]
    assert poster.posts == []


@in_a_world
async def test_a_run_that_fails_as_it_is_cancelled_is_told_as_cancelled_last(world: World) -> None:
    poster = poster_of(world)

    @world.registry.handler("stubborn")
    async def run(_ctx: Context) -> None:
        try:
            await world.clock.sleep(3600)
        except asyncio.CancelledError:
            raise ValueError("interrupted") from None

    await world.start()
    await once(world, handler="stubborn", retry={"max_attempts": 3, "base": 1}, webhook=HOOK)
    await world.clock.sleep(3)
    (execution,) = (await world.client.get_job("a")).running
    await world.client.cancel_execution("a", execution)
    await world.clock.sleep(60)
    by_revision = sorted(poster.told(), key=lambda body: int(body["revision"]))
    assert [body["status"] for body in by_revision] == ["running", "retrying", "cancelled"]
