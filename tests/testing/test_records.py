"""What the checker is given: records, documents, and the example that the README gives."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from natsched import Context, Record, Registry
from natsched.core.executions import ExecutionStatus as S
from natsched.core.schedules import Interval
from natsched.testing import Change, Kind, check, history_of, told_by
from tests.factories import NOON, make_job, make_record
from tests.testing.drawing import END, model_of
from tests.testing.model import JOB

README = Path(__file__).parents[2] / "README.md"
UID = "BILLING_DAILY"


def created(**spec: Any) -> Change:
    job = make_job(schedule=Interval(seconds=10), **spec)
    return Change.to(job, asked=NOON, returned=NOON)


def ran(n: int, due: float, **record: Any) -> Record:
    at = NOON + timedelta(seconds=due)
    given: dict[str, Any] = {"started_at": at, "ended_at": at + timedelta(seconds=1), "replica": "r1", **record}
    return make_record(execution=f"{UID}-{n}", due=at, **given)


def test_records_that_tell_of_each_instant_leave_nothing_to_find() -> None:
    records = [ran(1, 10), ran(2, 20)]
    assert check(history_of(records, [created()], until=NOON + timedelta(seconds=25))) == ()


def test_a_record_that_is_missing_is_found_and_said_in_words() -> None:
    (found,) = check(history_of([ran(2, 20)], [created()], until=NOON + timedelta(seconds=25)))
    assert (found.kind, found.job, found.due) == (Kind.LOST, "billing.daily", NOON + timedelta(seconds=10))
    assert str(found) == (
        "lost: billing.daily, due 2026-01-01T12:00:10+00:00: "
        "it has neither a run nor a record, and nothing was in its way"
    )


def test_a_run_that_goes_on_is_taken_to_have_begun_on_its_instant() -> None:
    going = ran(1, 10, status=S.RUNNING, started_at=None, ended_at=None)
    skipped = ran(2, 20, status=S.SKIPPED, started_at=None, ended_at=NOON + timedelta(seconds=20), attempt=0)
    assert check(history_of([going, skipped], [created()], until=NOON + timedelta(seconds=25))) == ()


def test_a_run_that_goes_on_is_taken_to_have_begun_after_its_jitter() -> None:
    job = make_job(schedule=Interval(seconds=10, jitter=8))
    change = Change.to(job, asked=NOON, returned=NOON)
    going = ran(1, 10, status=S.RUNNING, started_at=None, ended_at=None)
    assert check(history_of([going], [change], until=NOON + timedelta(seconds=19))) == ()


def test_an_attempt_that_never_began_but_is_to_follow_is_no_record_of_an_end() -> None:
    told = told_by([ran(1, 10, status=S.INTERRUPTED, started_at=None), ran(2, 20, status=S.LOST, started_at=None)])
    assert [record.execution for record in told.left_out] == [f"{UID}-2"]


def test_a_removal_is_a_change_without_a_spec() -> None:
    away = Change.away(make_job(schedule=Interval(seconds=10)), asked=NOON, returned=NOON + timedelta(seconds=12))
    history = history_of([], [created(), away], until=NOON + timedelta(seconds=25))
    assert check(history) == ()


@pytest.mark.parametrize("seed", range(20))
def test_what_the_records_of_a_scheduler_tell_is_without_a_finding(seed: int) -> None:
    model = model_of(seed, calm=True, delivery="at_least_once")
    history = model.run(END)
    found = check(history_of(model.records, history.changes, until=END - timedelta(seconds=5)))
    assert found == ()
    assert {change.job for change in history.changes} == {JOB}


@pytest.mark.anyio
async def test_the_example_of_the_readme_works(monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.read_text(encoding="utf-8").split("## Test your own jobs")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    tree = compile(code, "README.md", "exec")
    registry = Registry()
    seen: list[Context] = []

    @registry.handler("metrics")
    async def metrics(ctx: Context) -> None:
        seen.append(ctx)

    app = ModuleType("app")
    app.registry = registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app", app)
    names: dict[str, Any] = {}
    exec(tree, names)
    await names["test_metrics"]()
    assert len(seen) > 5
