"""Webhooks of replicas as processes, to a receiver of the test's own."""

import json
from collections.abc import Iterator

import pytest
from pydantic import JsonValue

from natsched import Client, ExecutionStatus, Once
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until
from tests.e2e.series import soon
from tests.receiving import Receiver, receiving, verified

pytestmark = [pytest.mark.anyio, pytest.mark.nats]
SECRET = "NATSCHED_SECRET_HOOK"
VALUE = "s3cret of the tests"
SLACK = 20.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def for_all(receiver: Receiver) -> dict[str, str]:
    """Return the environment of a replica that tells the receiver of all jobs, signed."""
    receivers = json.dumps([{"url": f"{receiver.url}/all", "secret": SECRET}])
    return {"NATSCHED_WEBHOOKS__RECEIVERS": receivers, SECRET: VALUE}


async def test_each_status_is_told_and_its_signature_is_right(
    client: Client, replicas: Fleet, receiver: Receiver
) -> None:
    await replicas.start("a", "b", **for_all(receiver))
    await client.submit_job("good", Once(soon(0.5)), handler="work")
    await client.submit_job(
        "bad", Once(soon(0.5)), handler="fails", payload={"fails": 9}, retry={"max_attempts": 2, "base": 0.2}
    )

    def told(job: str) -> list[str]:
        ordered = {body["revision"]: body["status"] for body in receiver.taken(job)}
        return [ordered[revision] for revision in sorted(ordered)]

    await until(lambda: len(told("good")) == 2 and len(told("bad")) == 4, "all is told, in any order", SLACK)
    assert told("good") == ["running", "ok"]
    assert told("bad") == ["running", "retrying", "running", "dead"]
    for headers, body in receiver.asked:
        assert verified(VALUE, headers, body)
        assert not verified("another", headers, body)
        assert headers["Natsched-Event"] == json.loads(body)["id"]
    for replica in replicas.replicas:
        assert VALUE not in replica.log.read_text()


async def test_a_receiver_that_was_down_gets_all_that_is_not_outdated(
    client: Client, replicas: Fleet, receiver: Receiver
) -> None:
    receiver.status = 503
    await replicas.start("a")
    hook = {"url": f"{receiver.url}/${{{SECRET}}}", "statuses": ["running", "ok"]}
    for number in range(10):
        await client.submit_job(f"job{number}", Once(soon(0.5)), handler="work", webhook=hook)
    await until(lambda: len(receiver.asked) == 0 and replicas.replicas[0].lines("notice_again"), "refused", SLACK)
    (replica,) = replicas.replicas
    replica.kill()
    await replicas.start("b", **{SECRET: VALUE})
    await until(lambda: len(receiver.asked) >= 10, "tried", SLACK)
    assert all(name in {"ok", "running"} for name in receiver.statuses())
    receiver.asked.clear()
    receiver.status = 200
    await until(lambda: receiver.statuses().count("ok") >= 10, "everything arrives", 2 * SLACK)
    assert {body["job"] for body in receiver.taken() if body["status"] == "ok"} == {f"job{n}" for n in range(10)}


async def test_what_a_killed_replica_was_sending_is_sent_by_another(
    client: Client, replicas: Fleet, receiver: Receiver, journal: Journal
) -> None:
    receiver.silent.set()
    (a,) = await replicas.start("a")
    payload: JsonValue = {"lasts": 0.1}
    await client.submit_job(
        "a", Once(soon(0.5)), handler="work", payload=payload, webhook={"url": receiver.url, "statuses": ["ok"]}
    )
    await until(lambda: receiver.asked, "the first one is being sent", SLACK)
    a.kill()
    receiver.silent.clear()
    receiver.asked.clear()
    await replicas.start("b")
    await until(lambda: receiver.statuses() == ["ok"], "the other one sends it", SLACK)
    (record,) = await client.executions("a")
    assert record.status is ExecutionStatus.OK
    assert len(journal.attempts("a")) == 1
