"""The instants to come, as people read them: in the zone of the job, with what its clocks do there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from natsched.core.jobs import Job
from natsched.core.planning import is_spent, next_of, start_of
from natsched.core.schedules import Cron
from natsched.core.zones import EPOCH, Segment, load_zone, segment

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """An instant that is planned: `due` in the zone of its job's schedule (UTC if it has none), and when it starts.

    `start` is later by the jitter. `note` tells of clocks that are changed at that time or since the one before.
    """

    due: datetime
    start: datetime
    note: str | None = None


def upcoming(job: Job) -> Iterator[Upcoming]:
    """Yield the instants that the job's plan leads to, maybe without end; none while it is paused for good."""
    due, runs = job.status.plan.due, job.status.runs
    before: datetime | None = None
    while due is not None and not is_spent(job, runs):
        yield _noted(job, due, before)
        runs, before = runs + 1, due
        due = None if job.spec.fixed_delay is not None else next_of(job, due)


def _noted(job: Job, due: datetime, before: datetime | None) -> Upcoming:
    start, schedule = start_of(job, due), job.spec.schedule
    if not isinstance(schedule, Cron):
        return Upcoming(due=due, start=start)
    local = due.astimezone(load_zone(schedule.timezone))
    note = _clock_note(_part(schedule, due), (due - EPOCH) // _SECOND)
    if note is None and before is not None:
        note = _change_note(_part(schedule, before).offset, _part(schedule, due).offset)
    return Upcoming(due=local, start=start, note=note)


def _part(schedule: Cron, due: datetime) -> Segment:
    return segment(schedule.timezone, (due - EPOCH) // _SECOND)


def _clock_note(part: Segment, due: int) -> str | None:
    """Tell of an instant at which the clocks are changed, or whose wall time shows twice."""
    forward = part.offset - part.before
    if due == part.start and forward > 0:
        return f"clocks go from {_wall(due + part.before)} to {_wall(due + part.offset)}"
    if due < part.start - forward and forward < 0:
        return f"the second {_wall(due + part.offset)}: clocks went back"
    if due >= part.end - (part.offset - part.after) and part.after < part.offset:
        return f"the first of two {_wall(due + part.offset)}: clocks go back"
    return None


def _change_note(before: int, now: int) -> str | None:
    if now == before:
        return None
    return f"clocks have gone {'forward' if now > before else 'back'}: UTC{_offset(before)} to UTC{_offset(now)}"


def _wall(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).strftime("%H:%M")


def _offset(seconds: int) -> str:
    hours, rest = divmod(abs(seconds), 3600)
    return f"{'-' if seconds < 0 else '+'}{hours}" + (f":{rest // 60:02d}" if rest else "")
