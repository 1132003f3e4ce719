"""Instants that neither ran nor have a record that is a reason."""

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile

from natsched.core.planning import earlier, later
from natsched.core.schedules import gap, instants
from natsched.testing.eras import NEVER, Era
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import WAIT, Life
from natsched.testing.reasons import objection


def lost(life: Life) -> Iterator[Finding]:
    """Find instants that had to run, and did not."""
    for era, due in _missing(life):
        objections = [objection(life, record, due) for record in life.left_out if record.covers(due)]
        if objections and None not in objections:
            records = ", ".join(str(record.status) for record in life.left_out if record.covers(due))
            yield _finding(Kind.LOST, life, due, f"it did not run but is recorded as {records}: {objections[-1]}")
        elif not objections and _is_settled(life, era, due) and not _may_be_left_out(life, era, due):
            yield _finding(Kind.LOST, life, due, "it has neither a run nor a record, and nothing was in its way")


def unrecorded(life: Life) -> Iterator[Finding]:
    """Find instants that may have been left out with good reason, but of which nothing is said."""
    for era, due in _missing(life):
        if any(record.covers(due) for record in life.left_out) or not _is_settled(life, era, due):
            continue
        if _may_be_left_out(life, era, due):
            yield _finding(Kind.SILENT, life, due, "it has neither a run nor a record, whatever was in its way")


def miscounted(life: Life) -> Iterator[Finding]:
    """Find records that tell of another number of instants than there are from their first to their last."""
    for record in life.left_out:
        eras = [era for era in life.eras if record.covers(record.last) and era.has(record.first)]
        numbers = {_number(era, record.first, record.last) for era in eras}
        if record.exact and not record.attempt and numbers and record.number not in numbers:
            text = f"its record counts {record.number} from {record.first.isoformat()}, but there are {max(numbers)}"
            yield _finding(Kind.SILENT, life, record.last, text)


def _number(era: Era, first: datetime, last: datetime) -> int:
    assert era.spec is not None, "it has instants"
    return gap(era.spec.schedule, first, last, anchor=era.spec.anchor, salt=era.job).number


def _missing(life: Life) -> Iterator[tuple[Era, datetime]]:
    """Tell the instants without a run at which a definition was in force for certain."""
    ran = {run.start.due for run in life.runs if run.start.is_scheduled}
    claimed = list(life.claimed())
    for era in life.eras:
        spec = era.spec
        if spec is None or spec.fixed_delay is not None or not life.keeps_all(spec):
            continue
        limit, last = spec.schedule.max_runs, NEVER
        if limit is not None:
            if life.history.since is not None:
                continue
            last = claimed[limit - 1] if len(claimed) >= limit else NEVER
        for due in _instants(life, era):
            if due not in ran and due <= last and not _may_have_vanished(life, era, due):
                yield era, due


def _may_have_vanished(life: Life, era: Era, due: datetime) -> bool:
    """Whether it may have been claimed by a replica that died before it began, with a claim that leaves no trace."""
    if era.spec is None or not era.spec.leaves_no_trace:
        return False
    bounds = life.history.bounds
    return life.is_excused(earlier(due, bounds.claim), later(era.start_of(due), bounds.late))


def _instants(life: Life, era: Era) -> Iterator[datetime]:
    history = life.history
    margin = history.bounds.claim + history.bounds.clocks
    after = max(later(era.returned, margin), history.since or era.returned)
    until = min(later(era.ends, -margin), history.until)
    assert era.spec is not None, "it has instants"
    following = instants(era.spec.schedule, after, anchor=era.spec.anchor, salt=era.job)
    return takewhile(lambda due: due < until, following)


def _is_settled(life: Life, era: Era, due: datetime) -> bool:
    """Whether the time that is known goes so far that the instant has to have run, or to have a record.

    A job's instants are claimed in their order, so that a later one settles it, unless a replica died holding it.
    """
    history = life.history
    claimed = earlier(due, history.bounds.claim)
    passed = (run.start.at for run in life.runs if run.start.is_scheduled and run.start.due > due)
    if (at := min(passed, default=None)) is not None and not life.is_excused(claimed, at):
        return True
    start = era.start_of(due)
    pause = _own_pause(life, era)
    if not era.is_active(due):
        start, waits = _end_of_pause(life, era), True
    elif pause is not None and pause.asked <= later(
        life.ready(start, until=pause.asked, waits=True), history.bounds.late
    ):
        start, waits = _end_of_pause(life, pause), True
    else:
        waits = life.waits(start, history.until)
    ready = life.ready(start, until=history.until, waits=waits)
    return later(ready, history.bounds.late + history.bounds.clocks) <= history.until


def _own_pause(life: Life, era: Era) -> Era | None:
    """Return the pause that the job may have made itself: what was due then is told of with what falls due in it."""
    if era.spec is None or era.spec.auto_pause_after is None:
        return None
    following = next((one for one in life.eras if one.asked > era.asked), None)
    return following if following is not None and following.spec is not None and not following.spec.active else None


def _end_of_pause(life: Life, era: Era) -> datetime:
    """Return when what fell due in a pause is told of: at its end, or if that comes by itself, at the next start."""
    for following in [one for one in life.eras if one.asked >= era.asked and not _is_older(one, era)]:
        if following.spec is None or era.spec is None or following.spec.active:
            return following.returned
        if following.spec.schedule != era.spec.schedule:
            return following.returned
        until = following.spec.paused_until
        if until is not None and until < following.over:
            due = following.next(until)
            return following.over if due is None else min(following.over, following.start_of(due))
    return NEVER


def _is_older(one: Era, other: Era) -> bool:
    """Whether it was made before the other, although both were asked for at once."""
    return one.spec is not None and other.spec is not None and one.spec.generation < other.spec.generation


def _may_be_left_out(life: Life, era: Era, due: datetime) -> bool:
    """Whether there may be a good reason for it."""
    spec, start = era.spec, era.start_of(due)
    if spec is None or not era.is_active(due):
        return True
    is_busy = spec.concurrency is not None and life.busy(start) >= spec.concurrency
    if is_busy and (spec.overlap not in WAIT or spec.catch_up != "all"):
        return True
    ready = life.ready(start, until=life.history.until, waits=life.waits(start, life.history.until))
    if era.ends <= later(ready, life.history.bounds.claim):  # what it has instead is the record of the change
        return True
    if ready == start:
        return False
    if spec.catch_up != "all" or spec.deadline is not None or spec.catch_up_window is not None:
        return True
    return _number(era, due, ready) > spec.catch_up_limit


def _finding(kind: Kind, life: Life, due: datetime, text: str) -> Finding:
    return Finding(kind=kind, job=life.job, due=due, text=text)
