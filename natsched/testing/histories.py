"""All that is known of a time in which jobs ran."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from natsched.core.executions import ExecutionStatus, Record
from natsched.core.schedules import jitter_of
from natsched.testing.bounds import Bounds
from natsched.testing.changes import Change
from natsched.testing.excuses import Absence, Outage
from natsched.testing.runs import End, LeftOut, Start, is_scheduled

_STILL_TO_COME: Final = frozenset({ExecutionStatus.INTERRUPTED, ExecutionStatus.RETRYING})


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was asked of jobs and what came of it, from `since` (None: their creation) to `until`.

    Jobs that none of the `changes` names are not judged. With `recorded` the log was read from the records alone, so
    that of a job whose `history` leaves some out nothing is known but what is there.
    """

    changes: Sequence[Change]
    starts: Sequence[Start] = ()
    ends: Sequence[End] = ()
    left_out: Sequence[LeftOut] = ()
    absences: Sequence[Absence] = ()
    outages: Sequence[Outage] = ()
    bounds: Bounds = field(default_factory=Bounds)
    since: datetime | None = None
    until: datetime
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What records tell."""

    starts: Sequence[Start]
    ends: Sequence[End]
    left_out: Sequence[LeftOut]


def history_of(
    records: Iterable[Record],
    changes: Sequence[Change],
    *,
    until: datetime,
    since: datetime | None = None,
    absences: Sequence[Absence] = (),
    outages: Sequence[Outage] = (),
    bounds: Bounds | None = None,
) -> History:
    """Return what all records of jobs, as `client.executions` gives them, tell of the time up to `until`."""
    told = told_by(records, changes)
    return History(
        changes=changes,
        starts=told.starts,
        ends=told.ends,
        left_out=told.left_out,
        absences=absences,
        outages=outages,
        bounds=bounds or Bounds(),
        since=since,
        until=until,
        recorded=True,
    )


def told_by(records: Iterable[Record], changes: Iterable[Change] = ()) -> Told:
    """Sort records into starts, ends and what was left out.

    One that still runs does not tell since when: it is taken to have begun on its instant.
    """
    latest = {change.uid: change for change in changes if change.spec is not None}
    starts, ends, left_out = [], [], []
    for record in records:
        if record.started_at is not None:
            starts.append(_start(record, record.started_at))
            ends.append(_end(record, record.ended_at or record.started_at))
        elif record.status is ExecutionStatus.RUNNING:
            starts.append(_start(record, _instant(record, latest)))
        elif record.status not in _STILL_TO_COME:
            left_out.append(left_out_by(record))
    return Told(starts=starts, ends=ends, left_out=left_out)


def left_out_by(record: Record) -> LeftOut:
    """Return what the record of a run that did not happen tells."""
    return LeftOut(
        job=record.job,
        execution=record.execution,
        first=record.first or record.due,
        last=record.last or record.due,
        status=record.status,
        at=record.ended_at or record.due,
        number=record.number,
        exact=record.exact,
        attempt=record.attempt,
        reason=record.reason,
    )


def _start(record: Record, at: datetime) -> Start:
    return Start(
        job=record.job,
        execution=record.execution,
        attempt=record.attempt,
        due=record.due,
        at=at,
        replica=record.replica,
        generation=record.generation,
    )


def _end(record: Record, at: datetime) -> End:
    return End(
        job=record.job,
        execution=record.execution,
        attempt=record.attempt,
        at=at,
        status=record.status,
        replica=record.replica,
        retry_at=record.retry_at,
    )


def _instant(record: Record, latest: Mapping[str, Change]) -> datetime:
    change = latest.get(record.uid)
    if change is None or change.spec is None or not is_scheduled(record.execution):
        return record.due
    return record.due + jitter_of(change.spec.schedule, record.due, uid=record.uid)
