"""SIGHUP to a replica on a real server: what changes, what does not, and what a mistake does."""

import signal
from pathlib import Path

import pytest

from natsched import Client, Interval
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

_SETTINGS = """
[queues.default]
concurrency = {concurrency}
{more}
[jobs]
files = ["{jobs}"]
[logs]
level = "{level}"
"""
_JOB = """
[[job]]
id = "{id}"
every = "300ms"
handler = "work"
"""


async def test_a_replica_changes_what_it_can_and_says_what_it_cannot(
    tmp_path: Path, client: Client, replicas: Fleet, journal: Journal
) -> None:
    config, jobs = tmp_path / "settings.toml", tmp_path / "jobs.toml"

    def write(more: str = "", *, concurrency: int = 7, level: str = "info") -> None:
        config.write_text(_SETTINGS.format(jobs=jobs, concurrency=concurrency, more=more, level=level))

    jobs.write_text(_JOB.format(id="file.one"))
    write()
    replica = replicas.launch("a", NATSCHED_CONFIG=str(config), NATSCHED_LOGS__LEVEL="")
    await replica.ready()
    await client.ensure_job("mail.one", Interval(milliseconds=300), handler="work", queue="mail")

    jobs.write_text(_JOB.format(id="file.one") + _JOB.format(id="file.two"))
    write("[queues.mail]\nconcurrency = 3\n[scheduler]\nlead = '2s'", concurrency=9, level="debug")
    replica.send(signal.SIGHUP)
    await replica.said("reloaded")
    changed = {line["setting"]: (line["before"], line["after"]) for line in replica.lines("setting_changed")}
    assert changed == {
        "logs.level": ("info", "debug"),
        "queues.default.concurrency": (7, 9),
        "queues.mail.concurrency": (None, 3),
    }
    assert [line["setting"] for line in replica.lines("restart_needed")] == ["scheduler.lead"]
    await until(lambda: len(journal.ended("file.two")) >= 2, "the new job of the file runs", 20)
    await until(lambda: len(journal.ended("mail.one")) >= 2, "the new queue is served", 20)
    assert replica.lines("run_claimed"), "it logs at debug by now"

    jobs.write_text(_JOB.format(id="file.one") + "[[job]]\nid = 'file.three'\nevry = '1s'\n")
    write(concurrency=1)
    replica.send(signal.SIGHUP)
    failed = await replica.said("reload_failed")
    assert "evry" in failed["reason"]

    async def told() -> bool:
        return [one.queues for one in await client.replicas()] == [{"default": 9, "mail": 3}]

    await until(told, "its lease tells of the queues before the mistake", 10)
    replica.send(signal.SIGTERM)
    assert await replica.ended() == 0
    journal.check()
