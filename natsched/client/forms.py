"""Jobs and records as JSON, as the command line and HTTP give them.

Instants are ISO 8601 with Z, durations are seconds, every key is always there.
"""

import json
from dataclasses import fields
from datetime import UTC
from typing import Any

from natsched.client.views import JobView
from natsched.core.backlog import Backlog
from natsched.core.documents import encode_job, encode_record
from natsched.core.executions import Record
from natsched.core.specs import OPTIONS
from natsched.core.upcoming import Upcoming
from natsched.protocol.leases import Living


def job_form(view: JobView) -> dict[str, Any]:
    """Return a job as `job list` and `job show` give it."""
    document = job_document(view)
    spec, status = document["spec"], document["status"]
    return {
        "id": view.id,
        "state": view.state,
        "schedule": spec["schedule"],
        "next_run": iso(view.next_run),
        "paused_until": iso(view.paused_until),
        "reason": view.reason,
        "running": list(view.running),
        "last": status.get("last"),
        "runs": view.runs,
        "counts": status.get("counts", {}),
        "generation": view.generation,
        **{name: spec.get(name) for name in OPTIONS},
    }


def job_document(view: JobView) -> dict[str, Any]:
    """Return the job's document as it is stored."""
    document: dict[str, Any] = json.loads(encode_job(view.document))
    return document


def record_form(record: Record) -> dict[str, Any]:
    """Return a record as lists give it, without what was logged; lag and duration are seconds."""
    stored = json.loads(encode_record(record))
    named = {field.name: stored.get(field.name) for field in fields(record) if field.name != "logs"}
    return {**named, "lag": record.lag, "duration": record.duration}


def whole_record_form(record: Record) -> dict[str, Any]:
    """Return a record as `execution show` gives it, with what was logged."""
    return {**record_form(record), "logs": json.loads(encode_record(record)).get("logs")}


def replica_form(one: Living) -> dict[str, Any]:
    """Return a replica that lives."""
    return {
        "replica": one.name,
        "lease": one.lease,
        "primary": one.is_primary,
        "queues": dict(one.queues),
        "running": dict(one.running),
        "natsched": one.natsched,
        "tzdata": one.tzdata,
    }


def backlog_form(one: Backlog) -> dict[str, Any]:
    """Return what waits in a queue; `oldest` is seconds since the first of it was to start."""
    return {"number": one.number, "oldest": one.oldest}


def upcoming_form(one: Upcoming) -> dict[str, Any]:
    """Return an instant as `job next` gives it."""
    return {
        "due": iso(one.due.astimezone(UTC)),
        "local": one.due.isoformat(),
        "start": iso(one.start),
        "note": one.note,
    }


def iso(instant: Any) -> str | None:  # noqa: ANN401 - a datetime or None
    """Return an instant as JSON has it."""
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
