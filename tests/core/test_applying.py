"""Files against what there is: what is created, changed and pruned, whose jobs are left, what is never shown."""

import json
from typing import Any

import pytest
from hypothesis import given

from natsched.core.applying import Outline, Wanted, differences, outline
from natsched.core.chains import After
from natsched.core.jobs import Job, JobId
from natsched.core.schedules import Cron, Interval
from natsched.core.targets import Http, Shell
from natsched.core.webhooks import Webhook
from natsched.errors import InvalidJob, JobChanged, JobOwned
from tests.core.strategies import any_spec
from tests.factories import make_job, make_spec


def wanted(id_: str = "a", source: str = "a.toml", **spec: Any) -> Wanted:
    return Wanted(id=JobId(id_), spec=make_spec(**spec), source=source)


def there(*jobs: Job) -> dict[JobId, Job]:
    return {job.id: job for job in jobs}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    found = differences(make_spec(**before), make_spec(**after))
    return [(one.field, one.before, one.after) for one in found]


@given(any_spec, any_spec)
def test_specs_differ_in_a_field_or_ask_for_the_same(a: Any, b: Any) -> None:
    asked = {"generation", "anchor", "active", "paused_until", "pause_reason", "paused_since"}
    same = all(getattr(a, name) == getattr(b, name) for name in a.__slots__ if name not in asked)
    assert (differences(a, b) == ()) is same
    assert [one.field for one in differences(a, b)] == [one.field for one in differences(b, a)] or not same


def test_each_field_is_told_by_the_name_that_a_file_has_for_it() -> None:
    assert changed({}, {"timeout": 5.0}) == [("timeout", None, 5.0)]
    before = {"schedule": Cron("@daily"), "payload": {"a": {"b": 1, "c d": [1]}}}
    after = {"schedule": Cron("@hourly", timezone="Europe/Berlin"), "payload": {"a": {"b": True, "c d": [2]}}}
    assert changed(before, after) == [
        ("cron", "@daily", "@hourly"),
        ("timezone", "UTC", "Europe/Berlin"),
        ("payload.a.b", 1, True),
        ('payload.a."c d"', [1], [2]),
    ]
    assert changed({}, {"schedule": Interval(minutes=1)}) == [("every", 3600.0, 60.0)]
    assert changed({}, {"schedule": Cron("@daily", max_runs=3)}) == [
        ("schedule", "every 1h", "cron @daily UTC"),
        ("max_runs", None, 3),
    ]


def test_what_is_finer_than_a_microsecond_makes_no_difference() -> None:
    assert changed({"timeout": 1 / 3}, {"timeout": 0.333333}) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"target": Http(url="https://h/x", headers={"X-Any": "hush"})},
        {"target": Http(url="https://me:hush@h/x")},
        {"target": Http(url="https://h/x?key=hush")},
        {"target": Shell(argv=("a",), env={"ANY": "hush"})},
        {"payload": {"db": {"password": "hush"}}},
        {"payload": {"Api-Key": ["hush"]}},
        {"metadata": {"auth": {"token": {"inner": "hush"}}}},
        {"webhook": Webhook(url="https://hush@h/x")},
    ],
)
def test_secrets_are_never_shown(spec: dict[str, Any]) -> None:
    for before, after in (({}, spec), (spec, {})):
        found = changed(before, after)
        assert found
        assert "hush" not in json.dumps(found)


def test_references_to_secrets_are_shown() -> None:
    target = Http(url="https://h/${NATSCHED_SECRET_A}", headers={"Authorization": "Bearer ${NATSCHED_SECRET_B}"})
    text = json.dumps(
        changed({}, {"target": target, "webhook": Webhook(url="https://h/", secret="NATSCHED_SECRET_C")})
    )
    assert all(f"NATSCHED_SECRET_{name}" in text for name in "ABC")


def test_an_outline_names_what_is_new_changed_same_and_to_go() -> None:
    jobs = there(make_job("a", owner="o"), make_job("b", owner="o"), make_job("c"))
    old = make_job("old", owner="o")
    asked = [
        wanted("n", owner="o"),
        wanted("b", owner="o", timeout=1.0),
        wanted("a", owner="o"),
        wanted("c", owner="o"),
    ]
    found = outline(asked, jobs, [*jobs.values(), old])
    assert [one.wanted.id for one in found.created] == ["n"]
    assert [(one.wanted.id, [d.field for d in one.differences]) for one in found.updated] == [
        ("b", ["timeout"]),
        ("c", ["owner"]),
    ]
    assert [one.job.id for one in found.pruned] == ["old"]
    assert found.unchanged == ("a",)
    assert found.has_changes
    assert outline([wanted("a")], there(make_job("a"))) == Outline(unchanged=(JobId("a"),))


@pytest.mark.parametrize("mine", ["mine", None])
def test_a_job_of_another_owner_is_refused_unless_it_is_taken_over(mine: str | None) -> None:
    jobs = there(make_job("a", owner="other"))
    with pytest.raises(JobOwned, match=r'a belongs to "other", and a\.toml'):
        outline([wanted(owner=mine)], jobs)
    (update,) = outline([wanted(owner=mine)], jobs, take_over=True).updated
    assert [(one.field, one.before, one.after) for one in update.differences] == [("owner", "other", mine)]


def test_two_files_with_one_job_are_both_named() -> None:
    with pytest.raises(InvalidJob, match=r"a: both x\.toml and y\.toml name it"):
        outline([wanted("a", "x.toml"), wanted("a", "y.toml")], {})


def test_a_chain_needs_the_jobs_that_it_hangs_on() -> None:
    last = wanted("z", schedule=After("a", "b"))
    outline([last, wanted("a")], there(make_job("b")))
    with pytest.raises(InvalidJob, match="z, after: there will be no job b"):
        outline([last, wanted("a")], {})
    with pytest.raises(InvalidJob, match="z, after: there will be no job b"):
        outline([last, wanted("a")], there(make_job("b")), [make_job("b")])


def test_only_what_was_shown_is_changed() -> None:
    shown = make_job("a", timeout=1.0)
    (update,) = outline([wanted(timeout=2.0)], there(shown)).updated
    update.check(shown)
    update.check(make_job("a", timeout=1.0, active=False, generation=7))
    update.check(make_job("a", uid="B", timeout=2.0))
    for other, why in (
        (None, "removed meanwhile"),
        (make_job("a", timeout=3.0), "a was changed meanwhile: timeout"),
        (make_job("a", uid="B", timeout=1.0), "it was created anew"),
    ):
        with pytest.raises(JobChanged, match=why):
            update.check(other)
    (removal,) = outline([], {}, [shown]).pruned
    removal.check(shown)
    with pytest.raises(JobChanged, match="changed meanwhile: owner"):
        removal.check(make_job("a", timeout=1.0, owner="x"))
    (creation,) = outline([wanted()], {}).created
    creation.check(None)
    creation.check(make_job("a"))
    with pytest.raises(JobChanged, match="created meanwhile"):
        creation.check(make_job("a", timeout=1.0))
