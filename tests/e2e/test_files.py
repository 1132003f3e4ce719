"""A file of jobs that replicas start with, and all that a scheduler has in a file, on real servers."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from natsched import Client
from natsched.jetstream.server import EmbeddedServer
from tests.e2e.conftest import connected
from tests.e2e.journal import Journal
from tests.e2e.processes import Fleet, until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

_FILE = """
owner = "e2e"
[[job]]
id = "file.tick"
every = "500ms"
handler = "work"
[[job]]
id = "file.slow"
every = "1s"
handler = "work"
payload = { lasts = 0.4 }
"""
_OTHER = {"stream_name": "xS", "subject_prefix": "x", "job_bucket": "xJ", "exec_bucket": "xE", "lock_bucket": "xL"}


async def test_what_a_file_defines_moves_to_another_scheduler_and_no_run_is_doubled(
    tmp_path: Path, server: EmbeddedServer, client: Client, replicas: Fleet, journal: Journal
) -> None:
    file, saved = tmp_path / "jobs.toml", tmp_path / "saved.gz"
    file.write_text(_FILE, encoding="utf-8")
    both = await replicas.start("a", "b", NATSCHED_JOBS__FILES=str(file))
    applied = [await replica.said("files_applied") for replica in both]
    assert sum(line["created"] for line in applied) == 2
    assert sum(line["updated"] for line in applied) == 0
    await until(lambda: len(journal.ended("file.tick")) >= 3, "the jobs of the file run", 20)
    for replica in both:
        replica.send(signal.SIGTERM)
        assert await replica.ended() == 0
    backed_up = await client.backup(saved)
    assert backed_up.jobs == 2
    ran = Counter(attempt.job for attempt in journal.attempts())
    async with connected(server.url, **{f"scheduler__{name}": value for name, value in _OTHER.items()}) as other:
        restored = await other.restore(saved)
        assert (restored.created, restored.records, restored.left) == (2, backed_up.records, [])
        assert not (await other.plan_files(file)).has_changes
    names = {f"NATSCHED_SCHEDULER__{name.upper()}": value for name, value in _OTHER.items()}
    await replicas.start("c", **names)
    await until(
        lambda: all(len(journal.ended(job)) >= number + 3 for job, number in ran.items()), "both jobs go on", 20
    )
    journal.check()
    attempts = journal.attempts()
    assert max(Counter((one.execution, one.attempt) for one in attempts).values()) == 1
    assert max(Counter((one.job, one.due) for one in attempts if one.attempt == 1).values()) == 1
