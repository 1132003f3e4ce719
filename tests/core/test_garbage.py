"""Whatever others write: a value, or the error that says where; never another exception. What is read is written."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from natsched.client.views import view
from natsched.core import changes
from natsched.core.documents import (
    decode_check_in,
    decode_job,
    decode_record,
    encode_check_in,
    encode_job,
    encode_record,
)
from natsched.core.executions import Record
from natsched.core.facts import Facts
from natsched.core.hints import Hint, decode_hint, encode_hint
from natsched.core.jobs import ExecutionId, Job, LeaseId, Stored
from natsched.core.owed import manual_hint, retry_hint, takeover_hint
from natsched.core.planning import plan_hint
from natsched.core.schedules import LONGEST_PERIOD, Cron, Interval, Once
from natsched.core.sweeping import Sight, inspect, overdue
from natsched.core.webhooks import decode_notice, encode_body, encode_notice
from natsched.errors import DocumentError, InvalidJob, ScheduleError, TooManyEntries
from tests.core.strategies import resolve, written
from tests.factories import NOON, make_job, make_spec
from tests.garbage import dumped, examples, garbage

GOLDEN = Path(__file__).parent / "golden"
JOBS, RECORDS, HINTS, NOTICES = (
    [path.read_bytes() for path in sorted(GOLDEN.glob(f"{kind}*.json"))]
    for kind in ("job", "record", "hint", "notice")
)
LATER = NOON + timedelta(days=80)
RUNNING = {"token": 1, "due": "2026-01-01T12:00:00Z"}


def changed(way: str, value: Any, document: bytes = JOBS[1]) -> bytes:
    """Return a document with another value at a place, dotted."""
    read = inner = json.loads(document)
    *steps, key = way.split("/")
    for step in steps:
        inner = inner[step]
    inner[key] = value
    return dumped(read)


def read(data: bytes) -> Job | None:
    """Read a document under the key that it names itself, as if it lay there."""
    key: Any = None
    with suppress(ValueError, RecursionError, KeyError, TypeError):
        key = json.loads(data)["id"]
    key = key if isinstance(key, str) else "a"
    with suppress(DocumentError):
        return decode_job(data, key=key)
    with pytest.raises(DocumentError) as caught:
        decode_job(data, key=key)
    assert caught.value.field
    assert caught.value.reason
    return None


@examples(150)
@given(garbage(*JOBS))
@example(changed("spec/tolerance", float("nan")))
@example(changed("spec/payload", [float("inf")]))
@example(changed("spec/queue", "a b"))
@example(changed("status/running", {"a b": {**RUNNING, "lease": "x"}}))
@example(changed("status/plan/due", "0001-01-01T00:00:00Z"))
@example(changed("status/plan/due", "9999-12-31T23:59:59.999999Z"))
def test_a_document_that_is_read_can_be_worked_with_and_is_written_as_it_was_read(data: bytes) -> None:
    job = read(data)
    if job is None:
        return
    assert decode_job(encode_job(job), key=job.id) == job
    for now in (NOON, LATER):
        view(job, now)
        after = [written(resolve(hint, facts(job, now), live=lambda _: False)) for hint in hints_of(job)]
        for one in (*after, *changed_by_clients(job, now)):
            if one is not None:
                assert decode_job(encode_job(one), key=job.id) == one
        sight = Sight(now=now, grace=timedelta(seconds=5), live=frozenset())
        stored = Stored(id=job.id, job=job, revision=7)
        assert all(repair is not None for repair in (*inspect(stored, None, sight), overdue(stored, now) or 1))


def hints_of(job: Job) -> Iterable[Hint]:
    """Return a hint of all that the job plans, runs and was asked for."""
    hints: list[Hint | None] = [plan_hint(job, 5)]
    hints += [takeover_hint(job, execution, entry, 5) for execution, entry in job.status.running.items()]
    hints += [manual_hint(job, execution, 5) for execution in job.status.manual]
    hints += [retry_hint(job, execution, 5) for execution in job.status.retries]
    for hint in hints:
        if hint is not None:
            assert decode_hint(encode_hint(hint), job=job.id, queue=job.spec.queue) == hint
            yield hint


def facts(job: Job, now: Any) -> Facts:
    here = LeaseId("lease.here.1")
    stored = Stored(id=job.id, job=job, revision=7)
    return Facts(
        now=now, stored=stored, lease=here, authoritative=True, replicas=frozenset({here}), primary=here, record=None
    )


def changed_by_clients(job: Job, now: Any) -> Iterable[Job]:
    calls: list[Callable[[], changes.Change | Job | None]] = [
        lambda: changes.pause(job, now),
        lambda: changes.resume(job, now),
        lambda: changes.update(job, make_spec(), now),
        lambda: changes.update(job, make_spec(schedule=job.spec.schedule, timeout=3.0), now),
        lambda: changes.trigger(job, ExecutionId("x-m1"), None, now),
    ]
    changes.remove(job, now)
    for call in calls:
        with suppress(InvalidJob, TooManyEntries):
            done = call()
            yield from [done] if isinstance(done, Job) else [done.job] if done is not None else []


@examples(150)
@given(garbage(*RECORDS))
@example(changed("result", [1e400], RECORDS[0]))
def test_a_record_is_read_and_written_or_an_error(data: bytes) -> None:
    record: Record | None = None
    with suppress(DocumentError):
        record = decode_record(data)
    if record is not None:
        assert decode_record(encode_record(record)) == record
        assert isinstance((record.lag, record.duration, record.did_not_run), tuple)


@examples(150)
@given(garbage(*HINTS), st.sampled_from(("a", "a.b", "", "a b", "a*", ">", "\ufffd", "a..b", "a" * 201)))
def test_a_hint_is_read_and_written_or_an_error(data: bytes, job: str) -> None:
    with suppress(DocumentError):
        hint = decode_hint(data, job=job)
        assert job in ("a", "a.b")
        assert decode_hint(encode_hint(hint), job=job) == hint


@examples(100)
@given(garbage(*NOTICES))
def test_a_notice_is_read_and_written_or_an_error(data: bytes) -> None:
    with suppress(DocumentError):
        notice = decode_notice(data)
        assert json.loads(encode_body(notice))
        assert decode_notice(encode_notice(notice)).id == notice.id


@examples(100)
@given(garbage(b'{"text": "a", "at": "2026-01-01T12:00:00Z", "data": {"rows": [1]}}'))
def test_a_check_in_is_read_and_written_or_none(data: bytes) -> None:
    said = decode_check_in(data)
    assert said is None or decode_check_in(encode_check_in(said)) == said


@pytest.mark.parametrize(
    ("way", "value", "field"),
    [
        ("id", "a b", "id"),
        ("uid", "a\r\nb", "uid"),
        ("spec/queue", ">", "spec.queue"),
        ("spec/concurrency_key", "a..b", "spec.concurrency_key"),
        ("spec/schedule", {"kind": "after", "jobs": ["a", ">"]}, "spec.schedule.jobs"),
        ("status/manual", {"*": {"at": "2026-01-01T12:00:00Z"}}, "status.manual"),
        ("status/followers", [""], "status.followers"),
        ("status/running", {"a-1": {**RUNNING, "lease": "a"}}, "status.running.a-1.lease"),
        ("spec/timeout", float("nan"), "spec.timeout"),
        ("spec/metadata", {"a": float("inf")}, "spec.metadata.a"),
    ],
)  # fmt: skip
def test_names_that_no_message_could_bear_and_numbers_that_json_has_not_are_quarantined(
    way: str, value: Any, field: str
) -> None:
    data = changed(way, value)
    with pytest.raises(DocumentError) as caught:
        decode_job(data, key=json.loads(data)["id"])
    assert caught.value.field == field


@examples(60)
@given(
    st.timedeltas(min_value=timedelta(milliseconds=100)) | st.sampled_from((timedelta.max, LONGEST_PERIOD)),
    st.none() | st.timedeltas() | st.just(timedelta.max),
)
@example(timedelta.max, None)
def test_a_schedule_that_is_taken_is_read_as_it_was_written(period: timedelta, jitter: timedelta | None) -> None:
    for schedule in (
        lambda: Interval(period),
        lambda: Interval(period, jitter=jitter),
        lambda: Once(NOON, jitter=jitter),
        lambda: Cron("@daily", jitter=jitter),
    ):
        with suppress(ScheduleError):
            job = make_job(schedule=schedule())
            assert decode_job(encode_job(job), key=job.id) == job


def test_a_text_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidJob, match="document: it cannot be written"):
        encode_job(make_job(pause_reason="\ud800"))
