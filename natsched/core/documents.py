"""The stored forms, both ways: job documents and execution records as versioned JSON.

The only module of the core that drives pydantic: it checks field by field, so that an error names the path,
and it makes the JSON Schemas that are published (`job_schema`, `record_schema`).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from natsched.core.chains import After
from natsched.core.executions import CheckIn, Record
from natsched.core.ids import is_job_id, is_token
from natsched.core.jobs import Job, Spec, Status, Unreadable
from natsched.errors import DocumentError, InvalidJob

_LEASE: Final = re.compile(r"lease\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_jobs: Final = TypeAdapter(Job)
_specs: Final = TypeAdapter(Spec)
_statuses: Final = TypeAdapter(Status)
_records: Final = TypeAdapter(Record)
_check_ins: Final = TypeAdapter(CheckIn)


class SpecTexts:
    """The JSON of the specs that were written last: a job is written twice a run, its spec changes hardly ever."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._texts: dict[int, tuple[Spec, bytes]] = {}

    def of(self, spec: Spec) -> bytes:
        """Return the spec's JSON; known by its identity, which comes with every document that follows from it."""
        known = self._texts.get(id(spec))
        if known is not None and known[0] is spec:
            return known[1]
        text = _specs.serializer.to_json(spec, exclude_none=True)
        if len(self._texts) >= self._size:
            del self._texts[next(iter(self._texts))]
        self._texts[id(spec)] = spec, text
        return text


_spec_texts: Final = SpecTexts(8192)


def encode_job(job: Job) -> bytes:
    """Write a job's document; InvalidJob if a text in it is none that can be written."""
    try:
        return _encode_job(job)
    except PydanticSerializationError as error:
        raise InvalidJob(f"it cannot be written: {error}", field="document") from error


def _encode_job(job: Job) -> bytes:
    status = _statuses.serializer.to_json(job.status, exclude_none=True)
    head = b'{"v":%d,"id":%b,"uid":%b,"spec":' % (job.v, to_json(job.id), to_json(job.uid))
    return b"".join((head, _spec_texts.of(job.spec), b',"status":', status, b"}"))


def spec_document(spec: Spec) -> dict[str, Any]:
    """Return a spec as values of JSON, as it is stored."""
    document: dict[str, Any] = _specs.serializer.to_python(spec, mode="json", exclude_none=True)
    return document


def decode_job(data: bytes, *, key: str) -> Job:
    """Read the document stored under `key`; anything else is a DocumentError that names field and reason."""
    try:
        job = _jobs.validate_json(data)
    except ValidationError as error:
        raise _explain(data, error) from error
    for field, reason in _misnamed(job):
        raise DocumentError(field=field, reason=reason)
    if job.id != key:
        raise DocumentError(field="id", reason=f"{job.id!r} is stored under the key {key!r}")
    return job


def _misnamed(job: Job) -> Iterator[tuple[str, str]]:
    """Find names that could not be part of a subject or key: no message could be published of such a job."""
    spec, status = job.spec, job.status
    if not is_job_id(job.id):
        yield "id", f"{job.id!r} is no job id"
    for field, name in (("uid", job.uid), ("spec.queue", spec.queue)):
        if not is_token(name):
            yield field, f"{name!r} is no name"
    if spec.concurrency_key is not None and not is_job_id(spec.concurrency_key):
        yield "spec.concurrency_key", f"{spec.concurrency_key!r} is no such key"
    for field in ("running", "retries", "manual", "handovers"):
        for execution in getattr(status, field):
            if not is_token(execution):
                yield f"status.{field}", f"{execution!r} is no id of an execution"
    yield from _misnamed_others(job)


def _misnamed_others(job: Job) -> Iterator[tuple[str, str]]:
    """Find leases and other jobs that cannot be."""
    spec, status = job.spec, job.status
    leases = [("running", key, entry.lease) for key, entry in status.running.items()]
    leases += [("retries", key, waiting.lease) for key, waiting in status.retries.items()]
    for field, execution, lease in leases:
        if lease is not None and not _LEASE.fullmatch(lease):
            yield f"status.{field}.{execution}.lease", f"{lease!r} is no lease"
    upstream = spec.schedule.jobs if isinstance(spec.schedule, After) else ()
    for field, others in (("status.followers", status.followers), ("spec.schedule.jobs", upstream)):
        for other in others:
            if not is_job_id(other):
                yield field, f"{other!r} is no job id"


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
