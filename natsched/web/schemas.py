"""The forms of what is sent and answered, as JSON Schemas: the stored documents, and what is made of them."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import TypeAdapter

from natsched.config.fields import Section, schema_of
from natsched.config.tables import JobsFile, JobTable
from natsched.core.documents import job_schema, record_schema
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import JobState
from natsched.core.specs import OPTIONS
from natsched.protocol.operations import Ensured

REF: Final = "#/components/schemas/{model}"
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_INSTANT: Final = {"type": "string", "format": "date-time"}


def components() -> dict[str, Any]:
    """Return all schemas by their names."""
    found: dict[str, Any] = {}
    for name, schema in (
        ("JobDocument", job_schema()),
        ("StoredRecord", record_schema()),
        ("Jobs", schema_of(JobsFile, ref_template=REF)),
        ("JobTable", schema_of(JobTable, ref_template=REF)),
        ("ExecutionStatus", TypeAdapter(ExecutionStatus).json_schema()),
    ):
        _add(found, name, schema)
    found["JobWithoutId"] = {**found["JobTable"], "required": []}
    found |= _of_jobs(found) | _of_executions(found) | _of_replicas()
    found["Error"] = _object(error=_object(code=_TEXT, message=_TEXT, field=_nullable(_TEXT)))
    found["Probe"] = _object(ok={"type": "boolean"}, reasons=_list(_TEXT))
    return found


def of_form(form: type[Section]) -> dict[str, Any]:
    """Return the schema of the body of one operation, whole."""
    return schema_of(form, ref_template=REF)


def _of_jobs(known: Mapping[str, Any]) -> dict[str, Any]:
    spec, status = known["Spec"]["properties"], known["Status"]["properties"]
    job = {
        "id": _TEXT,
        "state": {"enum": list(get_args(JobState))},
        "schedule": spec["schedule"],
        "next_run": _nullable(_INSTANT),
        "paused_until": _nullable(_INSTANT),
        "reason": _nullable(_TEXT),
        "running": _list(_TEXT),
        "last": _nullable(status["last"]),
        "runs": _NUMBER,
        "counts": {"type": "object", "additionalProperties": _NUMBER},
        "generation": _NUMBER,
        **{name: _nullable(spec[name]) for name in OPTIONS},
    }
    upcoming = {"due": _INSTANT, "local": _INSTANT, "start": _INSTANT, "note": _nullable(_TEXT)}
    return {
        "Job": _object(**job),
        "WholeJob": _object(**job, document=_ref("JobDocument")),
        "JobPage": _object(jobs=_list(_ref("Job")), next=_nullable(_TEXT)),
        "EnsuredJob": _object(outcome={"enum": [outcome.value for outcome in Ensured]}, job=_ref("Job")),
        "Ensured": _object(created=_NUMBER, updated=_NUMBER, unchanged=_NUMBER),
        "Upcoming": _object(job=_TEXT, runs=_list(_object(**upcoming))),
    }


def _of_executions(known: Mapping[str, Any]) -> dict[str, Any]:
    seconds = _nullable({"type": "number"})
    record = {name: _nullable(schema) for name, schema in known["StoredRecord"]["properties"].items()}
    logs = record.pop("logs")
    record |= {"lag": seconds, "duration": seconds}
    return {
        "Record": _object(**record),
        "WholeRecord": _object(**record, logs=logs),
        "Executions": _object(executions=_list(_ref("Record"))),
        "Attempts": _object(attempts=_list(_ref("WholeRecord"))),
        "ExecutionId": _object(job=_TEXT, execution=_TEXT),
        "Retried": _object(retried=_list(_ref("ExecutionId"))),
        "Backfilled": _object(
            job=_TEXT, dry_run={"type": "boolean"}, asked=_list(_object(execution=_TEXT, due=_INSTANT))
        ),
    }


def _of_replicas() -> dict[str, Any]:
    numbers = {"type": "object", "additionalProperties": _NUMBER}
    replica = {
        "replica": _TEXT,
        "lease": _TEXT,
        "primary": {"type": "boolean"},
        "queues": numbers,
        "running": numbers,
        "natsched": _nullable(_TEXT),
        "tzdata": _nullable(_TEXT),
    }
    waiting = _object(number=_NUMBER, oldest={"type": "number"})
    return {
        "Replicas": _object(replicas=_list(_object(**replica))),
        "Backlog": _object(queues={"type": "object", "additionalProperties": waiting}),
        "Versions": {"type": "object", "additionalProperties": _TEXT},
    }


def _add(found: dict[str, Any], name: str, schema: Mapping[str, Any]) -> None:
    """Put a schema and what it is made of among the others; two of one name have to be the same."""
    moved = _moved({key: value for key, value in schema.items() if key not in ("$defs", "$schema")})
    for key, value in {**{key: _moved(value) for key, value in schema.get("$defs", {}).items()}, name: moved}.items():
        if found.setdefault(key, value) != value:
            raise AssertionError(f"two schemas are called {key}")


def _moved(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema whose references lead to where the components are."""
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: item.replace("#/$defs/", "#/components/schemas/") if isinstance(item, str) else _moved(item)
        for key, item in value.items()
    }


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Any) -> dict[str, Any]:  # noqa: ANN401 - any schema
    return {"type": "array", "items": items}


def _nullable(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - any schema
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": REF.format(model=name)}
