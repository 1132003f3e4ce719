"""Whether a record that an instant did not run is one that the job's definition and the circumstances allow."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from natsched.core.catching_up import LATE
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Spec
from natsched.core.planning import earlier, later
from natsched.core.schedules import gap
from natsched.testing.lives import WAIT, Life
from natsched.testing.runs import LeftOut

S: Final = ExecutionStatus
NO_REASON: Final = "is no reason"


def objection(life: Life, record: LeftOut, due: datetime) -> str | None:
    """Return what speaks against the record of that instant, or None."""
    if record.attempt:
        return _of_claimed(life, record, due)
    if record.status is S.PAUSED:
        return None if _was_paused(life, due) else "the job was not paused"
    if record.status is S.CANCELLED:
        return None if _was_removed(life, record.at) else "the job was not removed then"
    first = min([record.first, *(run.start.due for run in life.executions.get(record.execution, ()))])
    _, start = life.starts_of(first, at=record.at)
    ready = life.ready(start, until=record.at, waits=life.waits(start, record.at))
    if record.at > later(ready, life.history.bounds.late + life.history.bounds.clocks):
        return f"nothing excuses that it was looked at {(record.at - ready).total_seconds():g} s too late"
    if record.status is S.SUPERSEDED:
        return None if _was_changed(life, due, record.at) else "the job was not changed then"
    found = [_by_policy(life, spec, record, due) for spec in _specs(life, record)]
    return None if None in found else next(iter(found), "there was no such job")


def _specs(life: Life, record: LeftOut) -> Iterator[Spec]:
    """Tell the specs by which it may have been decided; a job that was removed is decided on no more."""
    yield from life.specs_at(earlier(record.at, life.history.bounds.claim), record.at)


def _of_claimed(life: Life, record: LeftOut, due: datetime) -> str | None:
    """Judge the record of an execution that was claimed and never began."""
    match record.status:
        case S.LOST | S.DEAD:
            claimed = earlier(due, life.history.bounds.claim)
            return None if life.is_excused(claimed, record.at) else "no replica had died"
        case S.CANCELLED | S.TIMED_OUT | S.FAILED:
            return None
    return f"`{record.status}` {NO_REASON}"


def _was_paused(life: Life, due: datetime) -> bool:
    bounds = life.history.bounds
    for era in life.eras_at(earlier(due, bounds.claim), later(due, bounds.claim)):
        if era.spec is not None and (not era.is_active(due) or era.spec.auto_pause_after is not None):
            return True
    return False


def _was_changed(life: Life, due: datetime, at: datetime) -> bool:
    clocks = life.history.bounds.clocks
    made = any(era.asked <= later(at, clocks) and at <= later(era.returned, clocks) for era in life.eras[1:])
    return made and due <= later(at, clocks)


def _was_removed(life: Life, at: datetime) -> bool:
    clocks = life.history.bounds.clocks
    removals = (era for era in life.eras if era.spec is None)
    return any(era.asked <= later(at, clocks) and at <= later(era.returned, clocks) for era in removals)


def _by_policy(life: Life, spec: Spec, record: LeftOut, due: datetime) -> str | None:
    match record.status:
        case S.SKIPPED:
            return _skipped(life, spec, record)
        case S.COALESCED:
            return _coalesced(life, spec, record)
        case S.MISSED:
            return _missed(life, spec, record, due)
        case S.EXPIRED:
            return _expired(life, spec, record, due)
    return f"`{record.status}` {NO_REASON}"


def _skipped(life: Life, spec: Spec, record: LeftOut) -> str | None:
    if spec.overlap in WAIT or spec.concurrency is None:
        return "its overlap policy skips nothing"
    if life.busy(record.at) >= spec.concurrency or life.is_excused(record.at):
        return None
    return "no run of it was under way"


def _coalesced(life: Life, spec: Spec, record: LeftOut) -> str | None:
    if spec.catch_up == "all":
        return "it makes up for all"
    runs = life.executions.get(record.execution)
    if not runs and not any(other.attempt and other.execution == record.execution for other in life.left_out):
        return "the run that was to stand for it never began" if _is_over(life, record) else None
    first = min([record.first, *(run.start.due for run in runs or ())])
    wait = timedelta() if spec.overlap in WAIT else LATE
    if spec.catch_up == "none":
        wait = min(wait or LATE, timedelta(seconds=spec.tolerance))
    if record.at < later(life.starts_of(first, at=record.at)[0], wait - life.history.bounds.clocks):
        return "nothing was late"
    return None


def _is_over(life: Life, record: LeftOut) -> bool:
    """Whether the time that is known goes so far that the run of the record has to have begun."""
    history, ready = life.history, record.at
    if life.waits(ready, history.until):
        ready = life.ready(ready, until=history.until, waits=True)
    return later(ready, history.bounds.late + history.bounds.clocks) <= history.until


def _missed(life: Life, spec: Spec, record: LeftOut, due: datetime) -> str | None:
    clocks = life.history.bounds.clocks
    if spec.catch_up == "none":
        late = record.at - life.starts_of(record.first, at=record.at)[0]
        return None if late + clocks > timedelta(seconds=spec.tolerance) else "it was within its tolerance"
    if spec.catch_up_window is not None and due <= later(record.at, clocks - timedelta(seconds=spec.catch_up_window)):
        return None
    if spec.catch_up != "all":
        return "it was within its catch-up window"
    number = gap(spec.schedule, due, later(record.at, clocks), anchor=spec.anchor, salt=life.job).number
    return None if number > spec.catch_up_limit else "no more than its limit were missed"


def _expired(life: Life, spec: Spec, record: LeftOut, due: datetime) -> str | None:
    if spec.deadline is None:
        return "it has no deadline"
    over = later(due, timedelta(seconds=spec.deadline) - life.history.bounds.clocks)
    return None if record.at >= over else "its deadline had not passed"
