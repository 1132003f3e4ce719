"""Places in honest histories where nothing excuses a fault, and how to change what is there."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Spec
from natsched.core.schedules import next_due
from natsched.testing import Change, End, History, Start

S = ExecutionStatus
MARGIN = timedelta(seconds=25)
SECOND = timedelta(seconds=1)


def is_scheduled(execution: str) -> bool:
    return execution.split("-")[1].isdigit()


def spec_at(history: History, at: datetime) -> Spec | None:
    """Return the definition in force; that of a pause counts as none."""
    made = [change for change in history.changes if change.asked <= at]
    spec = made[-1].spec if made else None
    return spec if spec is not None and spec.active else None


def is_quiet(history: History, start: Start) -> bool:
    """Whether nothing befell the scheduler around a run, and no other run went on then."""
    first, last = start.at - MARGIN, start.at + MARGIN
    marks = [absence.at for absence in history.absences] + [change.asked for change in history.changes]
    if last > history.until or any(first <= mark <= last for mark in marks):
        return False
    if any(outage.at <= last and first <= outage.back for outage in history.outages):
        return False
    near = (start.at - 2 * SECOND, start.at + 2 * SECOND)
    for other in history.starts:
        ended = end_of(history, other)
        over = history.until if ended is None else ended.at
        if other is not start and other.at <= near[1] and near[0] <= over:
            return False
    return True


def end_of(history: History, start: Start) -> End | None:
    which = (start.execution, start.attempt, start.replica)
    return next((end for end in history.ends if (end.execution, end.attempt, end.replica) == which), None)


def quiet(history: History, *, fixed_delay: bool | None = False) -> Iterator[tuple[Start, Spec]]:
    """Tell the first attempts of the schedule's runs that went well, with nothing around them."""
    for start in history.starts:
        spec, end = spec_at(history, start.at), end_of(history, start)
        if spec is None or not is_scheduled(start.execution) or start.attempt > 1 or end is None:
            continue
        if fixed_delay is not None and (spec.fixed_delay is not None) is not fixed_delay:
            continue
        told = any(record.first <= start.due <= record.last for record in history.left_out)
        if end.status is S.OK and not told and is_quiet(history, start):
            yield start, spec


def without(history: History, *executions: str) -> History:
    return replace(
        history,
        starts=[start for start in history.starts if start.execution not in executions],
        ends=[end for end in history.ends if end.execution not in executions],
        left_out=[record for record in history.left_out if record.execution not in executions],
    )


def beside(history: History, start: Start, seconds: float = 0.3) -> History:
    end = End(
        job=start.job,
        execution=start.execution,
        attempt=start.attempt,
        at=start.at + timedelta(seconds=seconds),
        replica=start.replica,
    )
    return replace(history, starts=[*history.starts, start], ends=[*history.ends, end])


def moved(history: History, start: Start, by: timedelta) -> History:
    end = end_of(history, start)
    assert end is not None
    ends = [replace(one, at=one.at + max(by, timedelta())) if one is end else one for one in history.ends]
    starts = [replace(one, at=one.at + by) if one is start else one for one in history.starts]
    return replace(history, starts=starts, ends=ends)


def named(start: Start, name: str) -> str:
    return f"{start.execution.split('-')[0]}-{name}"


def following(change: Change, after: datetime) -> datetime | None:
    assert change.spec is not None
    return next_due(change.spec.schedule, after, anchor=change.spec.anchor, salt=change.job)


def returned(change: Change) -> datetime:
    assert change.returned is not None
    return change.returned


def has(change: Change, due: datetime) -> bool:
    """Whether a run of that instant is one of the definition's."""
    if change.spec is None:
        return False
    return change.spec.is_active(due + 9 * SECOND) and following(change, due - timedelta(microseconds=1)) == due


def was_like(history: History, start: Start, generation: int) -> bool:
    """Whether the instant is one of that definition too."""
    found = [
        one for one in history.changes if one.uid == start.uid and one.spec and one.spec.generation == generation
    ]
    return all(one.spec is not None and not one.spec.fixed_delay and has(one, start.due) for one in found)
