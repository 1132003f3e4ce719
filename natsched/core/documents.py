"""The stored forms, both ways: job documents and execution records as versioned JSON.

The only module of the core that drives pydantic: it checks field by field, so that an error names the path,
and it makes the JSON Schemas that are published (`job_schema`, `record_schema`).
"""

import json
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from natsched.core.executions import CheckIn, Record
from natsched.core.jobs import Job, Unreadable
from natsched.errors import DocumentError

_jobs: Final = TypeAdapter(Job)
_records: Final = TypeAdapter(Record)
_check_ins: Final = TypeAdapter(CheckIn)


def encode_job(job: Job) -> bytes:
    """Write a job's document."""
    return _jobs.serializer.to_json(job, exclude_none=True)


def decode_job(data: bytes, *, key: str) -> Job:
    """Read the document stored under `key`; anything else is a DocumentError that names field and reason."""
    try:
        job = _jobs.validate_json(data)
    except ValidationError as error:
        raise _explain(data, error) from error
    if job.id != key:
        raise DocumentError(field="id", reason=f"{job.id!r} is stored under the key {key!r}")
    return job


def read_job(data: bytes, *, key: str) -> Job | Unreadable:
    """Read a document, with what cannot be read as a value."""
    try:
        return decode_job(data, key=key)
    except DocumentError as error:
        return Unreadable(reason=error.message)


def encode_record(record: Record) -> bytes:
    """Write an execution's record."""
    return _records.serializer.to_json(record, exclude_none=True)


def decode_record(data: bytes) -> Record:
    """Read an execution's record; anything else is a DocumentError."""
    try:
        return _records.validate_json(data)
    except ValidationError as error:
        raise _explain(data, error) from error


def encode_check_in(check_in: CheckIn) -> bytes:
    """Write what a run says of how far it is."""
    return _check_ins.serializer.to_json(check_in, exclude_none=True)


def decode_check_in(data: bytes) -> CheckIn | None:
    """Read what a run said; None if there is nothing that can be read."""
    try:
        return _check_ins.validate_json(data)
    except ValidationError:
        return None


def job_schema() -> dict[str, Any]:
    """Return the JSON Schema of a job's document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_jobs.json_schema(mode="serialization"),
    }


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema of an execution's record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_records.json_schema(mode="serialization"),
    }


def _explain(data: bytes, error: ValidationError) -> DocumentError:
    version = _version(data)
    if version is not None and version != 1:
        return DocumentError(field="v", reason=f"version {version!r} is not one this natsched reads (it reads 1)")
    first = error.errors(include_url=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "document"
    return DocumentError(field=path, reason=first["msg"])


def _version(data: bytes) -> Any:  # noqa: ANN401 - whatever the bytes hold
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document.get("v") if isinstance(document, dict) else None
