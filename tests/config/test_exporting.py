"""Jobs as a file: what is written is read as the very same job, whatever the job."""

import tomllib
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.config import load_file, sample_jobs
from natsched.config.exporting import dump_jobs
from natsched.config.tables import jobs_schema
from natsched.core.applying import differences
from natsched.core.backoff import RetryPolicy
from natsched.core.chains import After
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.specs import OPTIONS, JobOptions, make_spec
from natsched.core.targets import Http, NatsRequest, Publish, Shell
from natsched.core.webhooks import Webhook
from natsched.errors import InvalidJob
from tests.core.strategies import any_spec, payloads, schedules, specs, words
from tests.factories import NOON, make_job

_SCHEMA = jsonschema.Draft202012Validator(jobs_schema())

_WEBHOOK = Webhook(url="https://h/", secret="NATSCHED_SECRET_A", statuses=(ExecutionStatus.DEAD,))

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
targets = st.one_of(
    st.builds(
        Shell,
        argv=st.lists(names, max_size=2).map(lambda rest: ("run", *rest)),
        env=st.dictionaries(st.sampled_from(("A", "b.c", "D E")), names, max_size=2),
        cwd=st.none() | st.just("/tmp"),
        grace=st.sampled_from((0.0, 5.0, 7.25)),
    ),
    st.builds(
        Http,
        url=st.just("https://host/p?a=b"),
        method=st.sampled_from(("GET", "POST")),
        headers=st.dictionaries(st.sampled_from(("X-A", "Authorization")), st.sampled_from(("", "a b")), max_size=2),
        body=payloads,
        expect=st.sampled_from(((), (204, 200))),
    ),
    st.builds(NatsRequest, subject=st.just("a.b"), heartbeat=st.sampled_from((None, 0.1, 30.0))),
    st.builds(Publish, subject=st.just("a.b"), body=payloads),
)
whole_specs = st.tuples(
    payloads, st.dictionaries(words, payloads, max_size=2), st.none() | targets, st.sampled_from(("x.y", None))
).flatmap(
    lambda drawn: specs(
        schedules=schedules | st.sampled_from((After(), After("a", "b.c", on="any"))),
        payload=drawn[0],
        metadata=drawn[1],
        target=drawn[2],
        handler=None if drawn[2] is not None else "h é",
        owner=drawn[3],
        webhook=None
        if drawn[3]
        else Webhook(url="https://h/", secret="NATSCHED_SECRET_A", statuses=(ExecutionStatus.DEAD,)),
        deadline=None,
        catch_up_window=None,
    )
)


def _is_valid(spec: Any) -> bool:
    """Whether it could have been asked for: the strategies of the core draw more."""
    options = {name: getattr(spec, name) for name in OPTIONS}
    try:
        make_spec(spec.schedule, anchor=NOON, **options)
    except InvalidJob:
        return False
    return True


def read_back(path: Path, text: str) -> list[Any]:
    path.write_text(text, encoding="utf-8")
    read = []
    for job in load_file(path).jobs:
        options = dict(job)
        del options["id"]
        schedule = options.pop("schedule")
        read.append(make_spec(schedule, anchor=NOON, **cast("JobOptions", options)))
    return read


@given(
    spec=(any_spec.filter(lambda spec: spec.catch_up_window is None and spec.deadline is None) | whole_specs).filter(
        _is_valid
    )
)
def test_what_is_exported_is_read_as_the_same_job(tmp_path_factory: pytest.TempPathFactory, spec: Any) -> None:
    job = Job(id=make_job().id, uid="A", spec=spec, status=make_job().status)
    text, told = dump_jobs([job])
    assert [line for line in told if "paused" not in line] == []
    assert bool(told) is not spec.active
    _SCHEMA.validate(_as_json(tomllib.loads(text)))
    (again,) = read_back(tmp_path_factory.getbasetemp() / "exported.toml", text)
    assert differences(spec, again) == ()


def _as_json(value: Any) -> Any:
    """Return TOML as a schema sees it: instants are text."""
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def test_only_what_differs_from_the_defaults_is_written() -> None:
    text, told = dump_jobs([make_job("b", retry=RetryPolicy()), make_job("a", timeout=1.5, payload={"x": [1]})])
    assert text == (
        '[[job]]\nid = "a"\nevery = "1h"\ntimeout = "1s500ms"\n\n[job.payload]\nx = [\n    1,\n]\n\n'
        '[[job]]\nid = "b"\nevery = "1h"\n\n[job.retry]\n'
    )
    assert told == []


def test_a_job_that_no_file_can_say_is_named_with_the_reason() -> None:
    text, told = dump_jobs([make_job("a", timeout=1e9), make_job("b")])
    assert "b" in text
    assert 'id = "a"' not in text
    (line,) = told
    assert line.startswith("a cannot be written in a file: timeout: ")


def test_the_schema_accepts_the_sample_and_tells_what_is_wrong() -> None:
    good = _as_json(tomllib.loads(sample_jobs().read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator.check_schema(jobs_schema())
    _SCHEMA.validate(good)
    for wrong in (
        {"every": True},
        {"every": "soon"},
        {"evry": "2s"},
        {"overlap": "maybe"},
        {"target": {"kind": "ftp"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            _SCHEMA.validate({"job": [{"id": "a", **wrong}]})
    _SCHEMA.validate({"owner": "a", "job": [{"id": "a", "every": 2, "webhook": "https://host/hook"}]})
