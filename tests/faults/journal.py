"""What the handlers wrote down, as the checker reads it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from natsched.core.executions import ExecutionStatus, Record
from natsched.testing import Change, End, Start
from tests.faults.notes import Notes

_LEASE: Final = timedelta(seconds=6)
"""How long before its start a run can have been claimed by a replica that was held up: it must not start it later."""


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Read all that was written, of all processes."""
    for path in sorted(folder.glob("*.journal")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def starts_of(
    told: Sequence[Mapping[str, Any]], changes: Sequence[Change], notes: Notes, claim: timedelta
) -> list[Start]:
    """Return the runs that began, with the generation that their version had.

    Those of a replica that was held up may have been claimed as long before as it was, and `claim` before that.
    """
    starts = []
    for line in told:
        if line["what"] == "begin":
            at = _instant(line["at"])
            starts.append(
                Start(
                    **_which(line),
                    due=datetime.fromisoformat(line["due"]),
                    at=at,
                    generation=_generation(line, at, changes),
                    claimed=_claimed(line, at, notes, claim),
                )
            )
    return starts


def ends_of(told: Sequence[Mapping[str, Any]], records: Sequence[Record]) -> list[End]:
    """Return the ended runs; why one was cancelled, and whether one that failed is tried again, the records tell."""
    recorded = {(record.execution, record.attempt): record for record in records}
    ends = []
    for line in told:
        if line["what"] in ("begin", "look"):
            continue
        status, retry_at = ExecutionStatus.OK, None
        if line["what"] != "end":
            record = recorded.get((line["execution"], line["attempt"]))
            status = ExecutionStatus.FAILED if line["what"] == "failed" else ExecutionStatus.INTERRUPTED
            if record is not None:
                status, retry_at = record.status, record.retry_at
        ends.append(End(**_which(line), at=_instant(line["at"]), status=status, retry_at=retry_at))
    return ends


def _which(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job": line["job"],
        "execution": line["execution"],
        "attempt": line["attempt"],
        "replica": str(line["pid"]),
    }


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _generation(line: Mapping[str, Any], at: datetime, changes: Sequence[Change]) -> int | None:
    """Return the last generation by then with the version that the run had: pauses and resumes keep the version."""
    found = [
        change.spec.generation
        for change in changes
        if change.job == line["job"]
        and change.spec is not None
        and change.asked <= at
        and change.spec.metadata.get("version") == line["version"]
    ]
    return max(found, default=None)


def _claimed(line: Mapping[str, Any], at: datetime, notes: Notes, claim: timedelta) -> datetime | None:
    spans = notes.spans(str(line["pid"]))
    held = [max(since, at - _LEASE) for since, until in spans if since <= at <= until + _LEASE]
    return min(held) - claim if held else None
