"""All jobs and records in one file: a line of JSON each, between one that says what it is and one that ends it.

What is in a file is consistent job by job, as each document is; the documents are read one after another and the
records after them, so a run that went on meanwhile may be in its document and have its record already. A restore
goes by the records.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from natsched.client.bulk import Progress
from natsched.core.documents import decode_job, decode_record, encode_job, encode_record
from natsched.core.executions import Record
from natsched.core.jobs import Job, JobId
from natsched.errors import DocumentError, InvalidJob, JobExists
from natsched.ports import Backend
from natsched.protocol.operations import Operations

VERSION: Final = 1
_KIND: Final = "natsched backup"
_SHOWN: Final = 10
_File: TypeAlias = IO[bytes] | gzip.GzipFile


@dataclass(slots=True, kw_only=True)
class BackedUp:
    """How much there is in a backup; `unreadable` are jobs whose documents are not in it."""

    jobs: int = 0
    records: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class RestoreResult:
    """What was restored; `left` names executions that were not: a replica that is alive may run them still.

    `updated` counts jobs that were there and got the definition of the backup. `records` counts those that were
    kept: the others are there already, or their time is over.
    """

    since: datetime
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    records: int = 0
    left: list[str] = field(default_factory=list)


async def back_up(backend: Backend, now: datetime, path: Path) -> BackedUp:
    """Write all jobs and records to a file, which takes its place when it is whole."""
    found, seen = BackedUp(), set[str]()
    with _written(path) as file:
        head = {"kind": _KIND, "v": VERSION, "at": now.isoformat(), "natsched": version("natsched")}
        _line(file, json.dumps(head).encode())
        async for chunk in backend.jobs.scan():
            for stored in chunk:
                if isinstance(stored.job, Job):
                    seen.add(stored.id)
                    _line(file, b'{"job":%b}' % encode_job(stored.job))
                elif stored.job is not None:
                    found.unreadable.append(stored.id)
        found.jobs = len(seen)
        async for records in backend.history.walk():
            for record in records:
                _line(file, b'{"record":%b}' % encode_record(record))
            found.records += len(records)
        _line(file, json.dumps({"end": {"jobs": found.jobs, "records": found.records}}).encode())
    return found


async def restore(
    backend: Backend,
    operations: Operations,
    path: Path,
    *,
    overwrite: bool,
    dry_run: bool,
    progress: Progress | None = None,
) -> RestoreResult:
    """Bring back what a backup has; nothing is written before all of the file was read and found good.

    `progress` is called with how many records and jobs are done, of how many.
    """
    since, jobs, records = _read_jobs(path)
    result = RestoreResult(since=since)
    there = [job for job in jobs if (await backend.jobs.read(job)).job is not None]
    known = frozenset(there)
    if there and not overwrite:
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise JobExists(
            f"{', '.join(there[:_SHOWN])}{more}: there already; `--overwrite` gives them its definitions",
            jobs=there,
        )
    if dry_run:
        result.created, result.updated = len(jobs) - len(there), len(there)
        result.records = records
        return result
    number = count(1)
    tell = progress or (lambda done, total: None)
    for value in _values(path):
        if isinstance(value, Record):
            result.records += await operations.restoring.record(value)
            tell(next(number), records + len(jobs))
    for id_, job in jobs.items():
        if id_ not in known:
            left = await operations.restoring.job(job, since=since)
            result.left += left
            result.created += 1
        else:
            outcome, _ = await operations.ensure(id_, job.spec)
            result.updated += outcome != "unchanged"
            result.unchanged += outcome == "unchanged"
        tell(next(number), records + len(jobs))
    return result


def _read_jobs(path: Path) -> tuple[datetime, Mapping[JobId, Job], int]:
    """Read the file to its end: when it was made, jobs, how many records; DocumentError if it is no whole one."""
    jobs: dict[JobId, Job] = {}
    since: datetime | None = None
    records, end = 0, None
    for value in _values(path):
        match value:
            case datetime():
                since = value
            case Job():
                jobs[value.id] = value
            case Record():
                records += 1
            case _:
                end = value
    if since is None or end != {"jobs": len(jobs), "records": records}:
        raise DocumentError(f"{path} is not whole: it has no end, or not all that its end tells of", field=str(path))
    return since, jobs, records


def _values(path: Path) -> Iterator[datetime | Job | Record | Mapping[str, Any]]:
    """Go through a file: when it was made, jobs, records, what its end says."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                yield _value(line, number)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DocumentError(f"{path} cannot be read: {reason}", field=str(path)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DocumentError(f"{path} is no backup: {error}", field=str(path)) from error
    except DocumentError as error:
        raise DocumentError(f"{path}, line {number}: {error.message}", field=str(path)) from error


def _value(line: bytes, number: int) -> datetime | Job | Record | Mapping[str, Any]:
    content = json.loads(line)
    if number == 1:
        if content["kind"] != _KIND or content["v"] != VERSION:
            raise ValueError(
                f"it is a {content['kind']} of version {content['v']}, this reads a {_KIND} of {VERSION}"
            )
        return datetime.fromisoformat(content["at"]).astimezone(UTC)
    (kind, inner), *_ = content.items()
    if kind == "job":
        return decode_job(json.dumps(inner).encode(), key=inner["id"])
    if kind == "record":
        return decode_record(json.dumps(inner).encode())
    if kind != "end" or not isinstance(inner, dict):
        raise ValueError(f"line {number} is a {kind}")
    return inner


@contextmanager
def _written(path: Path) -> Iterator[_File]:
    """Give a file to write, for its owner's eyes alone, that takes the place of `path` if all went well."""
    try:
        part = path.with_name(f"{path.name}.part")
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as raw:
            try:
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                    yield packed
                raw.flush()
                os.fsync(raw.fileno())
            except BaseException:
                part.unlink()
                raise
        part.replace(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidJob(f"{path} cannot be written: {reason}", field="path") from error


@contextmanager
def _opened(path: Path) -> Iterator[_File]:
    """Open a backup, packed or unpacked."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            yield file


def _line(file: _File, text: bytes) -> None:
    file.write(text + b"\n")
