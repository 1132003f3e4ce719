"""The stored forms: what is written is read again, yesterday's files too, and what cannot be read says why."""

import json
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.documents import (
    decode_check_in,
    decode_job,
    decode_record,
    encode_check_in,
    encode_job,
    encode_record,
    job_schema,
    read_job,
    record_schema,
)
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.jobs import Job, Last, Unreadable
from natsched.core.schedules import Cron
from natsched.errors import DocumentError
from tests.core.strategies import JOB, jobs, moments, payloads, specs, words
from tests.factories import make_job, make_record

GOLDEN = Path(__file__).parent / "golden"
JOBS = sorted(GOLDEN.glob("job-*.json"))
RECORDS = sorted(GOLDEN.glob("record-*.json"))

rich_jobs = jobs(
    st.deferred(
        lambda: st.tuples(payloads, st.dictionaries(words, payloads, max_size=2), st.none() | words).flatmap(
            lambda drawn: specs(payload=drawn[0], metadata=drawn[1], handler=drawn[2], timeout=1.5)
        )
    )
)
lasts = st.builds(
    Last,
    execution=words,
    attempt=st.integers(1, 9),
    status=st.sampled_from(ExecutionStatus),
    due=moments,
    started_at=st.none() | moments,
    ended_at=st.none() | moments,
    error=st.none() | words,
)
instants = st.none() | moments
texts = st.none() | words
records = st.builds(
    make_record,
    status=st.sampled_from(ExecutionStatus),
    due=moments,
    started_at=instants,
    ended_at=instants,
    error=texts,
    reason=texts,
    traceback=texts,
    replica=texts,
    metadata=st.none() | st.dictionaries(words, payloads, max_size=2),
    first=instants,
    last=instants,
    number=st.integers(1),
    exact=st.booleans(),
    manual=st.booleans(),
)


# Properties


@given(rich_jobs, st.none() | lasts)
def test_a_job_is_read_as_it_was_written(job: Job, last: Last | None) -> None:
    job = deepcopy(job)
    object.__setattr__(job.status, "last", last)
    assert decode_job(encode_job(job), key=JOB) == job
    assert read_job(encode_job(job), key=JOB) == job


@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@given(jobs(), records)
def test_what_is_written_is_valid_by_the_published_schema(job: Job, record: Record) -> None:
    JOB_SCHEMA.validate(json.loads(encode_job(job)))
    RECORD_SCHEMA.validate(json.loads(encode_record(record)))


@given(st.data())
def test_any_other_value_in_a_document_is_an_error_that_names_its_field_and_no_other(data: st.DataObject) -> None:
    """Damage one place of a document: it is read all the same, or the error says where it is."""
    document = json.loads(data.draw(st.sampled_from(JOBS)).read_bytes())
    *way, key = place = data.draw(st.sampled_from(sorted(places(document), key=str)))
    inner = document
    for step in way:
        inner = inner[step]
    inner[key] = data.draw(payloads)
    with suppress(DocumentError):
        decode_job(json.dumps(document).encode(), key=document["id"] if isinstance(document["id"], str) else "")
        return
    with pytest.raises(DocumentError) as caught:
        decode_job(json.dumps(document).encode(), key="")
    assert caught.value.reason
    assert caught.value.field.split(".")[0] == place[0]


@given(st.binary() | payloads.map(lambda value: json.dumps(value).encode()))
def test_other_bytes_are_quarantined_not_raised(data: bytes) -> None:
    assert isinstance(read_job(data, key=JOB), Unreadable)
    with pytest.raises(DocumentError):
        decode_record(data)


def places(value: Any, way: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Return the way to each value in a document, lists left out."""
    if not isinstance(value, dict):
        return {way}
    inner = {place for key, part in value.items() for place in places(part, (*way, key))}
    return inner | ({way} if way else set())


# Golden files: never change one; a new format is a new version and a new file


JOB_SCHEMA = jsonschema.Draft202012Validator(job_schema(), format_checker=jsonschema.FormatChecker())
RECORD_SCHEMA = jsonschema.Draft202012Validator(record_schema(), format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_jobs_of_version_1_are_read_and_written_today_as_they_were(path: Path) -> None:
    document = json.loads(path.read_bytes())
    job = decode_job(path.read_bytes(), key=document["id"])
    written = json.loads(encode_job(job))
    if path.stem == "job-least.v1":
        assert job.spec.schedule == Cron("@daily")
        assert job.spec.catch_up == "latest"
    else:
        assert written == document
    assert decode_job(encode_job(job), key=job.id) == job


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_of_version_1_are_read_and_written_today_as_they_were(path: Path) -> None:
    assert json.loads(encode_record(decode_record(path.read_bytes()))) == json.loads(path.read_bytes())


def test_check_ins_of_version_1_are_read_and_written_today_as_they_were() -> None:
    data = (GOLDEN / "check-in.v1.json").read_bytes()
    check_in = decode_check_in(data)
    assert check_in is not None
    assert json.loads(encode_check_in(check_in)) == json.loads(data)


def test_the_published_schemas_are_schemas() -> None:
    for schema in (job_schema(), record_schema()):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize("path", JOBS + RECORDS, ids=lambda path: path.stem)
def test_the_published_schemas_accept_the_golden_files(path: Path) -> None:
    validator = JOB_SCHEMA if path in JOBS else RECORD_SCHEMA
    document = json.loads(path.read_bytes())
    validator.validate(document)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**document, "v": 2})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**document, "unknown": 1})


# Named cases


def changed(**change: Any) -> bytes:
    """Return a good document with some fields replaced, dotted ones within others."""
    document = json.loads(encode_job(make_job()))
    for name, value in change.items():
        *way, key = name.split("__")
        inner = document
        for step in way:
            inner = inner[step]
        inner[key] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        (changed(v=2), "v", "version 2 is not one this natsched reads (it reads 1)"),
        (changed(v="1"), "v", "version '1' is not one this natsched reads (it reads 1)"),
        (changed(v=2, spec={}), "v", "version 2 is not one this natsched reads (it reads 1)"),
        (changed(color="red"), "color", "Unexpected keyword argument"),
        (changed(spec__color="red"), "spec.color", "Unexpected keyword argument"),
        (changed(status__plan={"due": None}), "status.plan.n", "Field required"),
        (changed(spec__overlap="maybe"), "spec.overlap", "Input should be 'skip', 'queue', 'replace' or 'allow'"),
        (changed(spec__anchor="2026-01-01T12:00:00"), "spec.anchor", "Input should have timezone info"),
        (
            changed(status__plan={"n": 1, "due": "2026-01-01T12:00:00"}),
            "status.plan.due",
            "Input should have timezone info",
        ),
        (changed(spec__schedule={"kind": "cron", "expression": "61 * * * *"}), "spec.schedule.cron", "61"),
        (changed(spec__schedule={"kind": "often"}), "spec.schedule", "'often' found using 'kind' does not match"),
        (changed(id="other"), "id", "'other' is stored under the key 'billing.daily'"),
        (b"{", "document", "Invalid JSON"),
        (b"", "document", "Invalid JSON"),
        (b"[" * 9000, "document", "Invalid JSON"),
        (b"[]", "document", "Input should be an object"),
    ],
)
def test_a_document_that_cannot_be_read_names_field_and_reason(data: bytes, field: str, reason: str) -> None:
    with pytest.raises(DocumentError) as caught:
        decode_job(data, key=JOB)
    assert caught.value.field == field
    assert reason in caught.value.reason
    unreadable = read_job(data, key=JOB)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason == f"{field}: {caught.value.reason}"


def test_a_record_of_another_version_is_an_error() -> None:
    document = {**json.loads(encode_record(make_record())), "v": 2}
    with pytest.raises(DocumentError, match="v: version 2 is not one this natsched reads"):
        decode_record(json.dumps(document).encode())
