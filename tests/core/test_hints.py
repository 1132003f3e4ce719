"""Hints as bytes: read as they were written; anything else is an error that says why."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.hints import Hint, PlanHint, RunHint, decode_hint, encode_hint
from natsched.core.jobs import ExecutionId
from natsched.errors import DocumentError
from tests.core.strategies import JOB, moments, payloads
from tests.factories import make_plan_hint, make_run_hint

GOLDEN = Path(__file__).parent / "golden"
common: dict[str, Any] = {
    "job": st.just(JOB),
    "uid": st.text(),
    "start": moments,
    "revision": st.integers(0),
    "queue": st.just("slow"),
}
hints = st.builds(PlanHint, n=st.integers(0), **common) | st.builds(
    RunHint, execution=st.text().map(ExecutionId), attempt=st.integers(0), **common
)


@given(hints)
def test_a_hint_is_read_as_it_was_written(hint: Hint) -> None:
    assert decode_hint(encode_hint(hint), job=hint.job, queue=hint.queue) == hint


bodies = st.fixed_dictionaries(
    {"v": st.just(1)},
    optional=dict.fromkeys(("uid", "rev", "at", "n", "execution", "attempt"), payloads),
)


@given(
    st.binary()
    | payloads.map(lambda value: json.dumps(value).encode())
    | bodies.map(lambda body: json.dumps(body).encode())
)
def test_any_other_bytes_are_no_hint_and_say_why(data: bytes) -> None:
    with suppress(DocumentError):
        assert decode_hint(data, job=JOB).start.utcoffset() is not None
        return
    with pytest.raises(DocumentError) as caught:
        decode_hint(data, job=JOB)
    assert caught.value.field
    assert caught.value.reason


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hint-plan.v1.json", make_plan_hint(n=41, revision=9123, queue="slow")),
        ("hint-run.v1.json", make_run_hint(attempt=2, revision=9123, queue="slow")),
    ],
)
def test_hints_of_version_1_are_read_today(name: str, hint: Hint) -> None:
    assert decode_hint((GOLDEN / name).read_bytes(), job=JOB, queue="slow") == hint


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"v": 2}, "v", "version 2 is not one this natsched reads"),
        ({"at": "2026-01-01T12:00:00"}, "at", "'2026-01-01T12:00:00' has no time zone"),
        ({"at": "soon"}, "hint", "not a hint of natsched"),
        ({"n": "many"}, "hint", "not a hint of natsched"),
        ({"rev": None}, "hint", "not a hint of natsched"),
    ],
)
def test_a_bad_hint_names_field_and_reason(change: dict[str, object], field: str, reason: str) -> None:
    body = {**json.loads(encode_hint(make_plan_hint())), **change}
    with pytest.raises(DocumentError, match=reason) as caught:
        decode_hint(json.dumps(body).encode(), job=JOB)
    assert caught.value.field == field


def test_a_key_tells_one_plan_or_attempt_from_every_other() -> None:
    keys = [
        make_plan_hint(n=1).key,
        make_plan_hint(n=2).key,
        make_plan_hint(n=1, uid="OTHER").key,
        make_run_hint(attempt=1).key,
        make_run_hint(attempt=2).key,
        make_run_hint("BILLING_DAILY-2").key,
    ]
    assert len(set(keys)) == len(keys)
