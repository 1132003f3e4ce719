"""What the documentation shows is so: its examples are run."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from natsched import Cron, Registry
from natsched.config import load_file
from natsched.config.tables import jobs_schema
from natsched.testing.scheduler import Scheduler

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name: str, language: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_scheduler_does_what_the_page_on_tests_shows() -> None:
    whole, fixture = blocks("testing.md", "python")
    names: dict[str, object] = {"pytest": pytest}
    exec(compile(whole, "testing.md", "exec"), names)
    names["test_the_report_runs_at_three_on_the_clocks_of_berlin"]()  # type: ignore[operator]
    exec(compile(fixture, "testing.md", "exec"), names)
    assert isinstance(names["registry"], Registry)
    with Scheduler(names["registry"], replicas=2) as scheduler:
        names["test_the_report"](scheduler)  # type: ignore[operator]


def test_the_example_of_a_file_is_one(tmp_path: Path) -> None:
    example, settings, _ = blocks("files.md", "toml")
    path = tmp_path / "jobs.toml"
    path.write_text(example, encoding="utf-8")
    file = load_file(path)
    assert (file.owner, [job["id"] for job in file.jobs]) == ("billing", ["billing.daily", "billing.report"])
    assert file.jobs[0]["schedule"] == Cron("0 3 * * *", timezone="Europe/Berlin")
    jsonschema.validate(json.loads(json.dumps(tomllib.loads(example))), jobs_schema())
    assert tomllib.loads(settings) == {"jobs": {"files": ["jobs.toml"], "prune": False}}
