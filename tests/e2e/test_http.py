"""HTTP of a real replica on NATS: what its documentation says, and its end."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from anyio import current_time, to_thread
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.processes import Fleet

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TOKEN = "hunter2-Zq9"
DOCS = Path(__file__).parents[2] / "docs" / "http.md"
HTTP = {"NATSCHED_HTTP__ENABLED": "true", "NATSCHED_HTTP__PORT": "0", "NATSCHED_HTTP__TOKEN": TOKEN}


async def test_what_the_documentation_asks_is_answered_and_sigterm_ends_a_stream(replicas: Fleet) -> None:
    (a,) = await replicas.start("a", **HTTP)
    url = a.lines("http_ready")[0]["url"]
    (block,) = re.findall(r"```sh\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    answers = [await _run(line, url) for line in block.splitlines()]
    ready, ensured, listed, upcoming, triggered, paused, _, metrics = answers
    assert json.loads(ready) == {"ok": True, "reasons": []}
    assert json.loads(ensured)["outcome"] == "created"
    assert [job["id"] for job in json.loads(listed)["jobs"]] == ["billing.daily"]
    assert len(json.loads(upcoming)["runs"]) == 3
    assert json.loads(paused)["reason"] == "stock-taking"
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    assert families["natsched_nats_connected"].samples[0].value == 1
    assert families["natsched_nats_reconnects"].samples[0].value == 0

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=15) as http:
        place = f"/api/v1/jobs/billing.daily/executions/{json.loads(triggered)['execution']}"
        (ended,) = (await http.get(place, params={"wait": "10s"})).json()["attempts"]
        assert (ended["status"], ended["replica"]) == ("ok", "a")
        async with http.stream("GET", "/api/v1/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            told = current_time()
            a.send(signal.SIGTERM)
            assert [line async for line in lines if line.startswith("data:")] == []
    assert await a.ended() == 0
    assert current_time() - told < 3
    assert TOKEN not in a.log.read_text()
    assert [line for line in a.lines() if line["level"] in ("warning", "error")] == []


async def _run(command: str, url: str) -> str:
    line = command.replace("http://127.0.0.1:7477", url).replace("curl -s", "curl -sS --fail-with-body")
    ran = await to_thread.run_sync(
        lambda: subprocess.run(
            line,
            shell=True,
            env={**os.environ, "TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    )
    assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
    return ran.stdout
