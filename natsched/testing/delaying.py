"""Jobs with a fixed delay: each instant is counted from the end of the run before it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise, takewhile

from natsched.core.planning import earlier, later
from natsched.testing.eras import NEVER, Era
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import Life, Run


def delayed(life: Life) -> Iterator[Finding]:
    """Find runs whose instant is not the delay after the end before it, and a chain that ended by itself."""
    for era in life.eras:
        if era.spec is None or (delay := era.spec.fixed_delay) is None or not era.spec.active:
            continue
        chain: dict[datetime, list[Run]] = defaultdict(list)
        for runs in life.executions.values():
            if _is_within(era, runs[0]) and (of_the_plan := _of_the_plan(life, runs)):
                chain[runs[0].start.due].append(max(of_the_plan, key=_end_of))
        lasts = [max(parts, key=_end_of) for _, parts in sorted(chain.items())]
        for before, after in pairwise(lasts):
            yield from _between(life, delay, before, after)
        yield from _at_the_end(life, era, delay)


def _of_the_plan(life: Life, runs: Sequence[Run]) -> Sequence[Run]:
    """Leave out the attempts from the first one on that somebody asked for: the next run waits for none of these."""
    return list(takewhile(lambda run: not life.is_by_hand(run), runs))


def _end_of(run: Run) -> datetime:
    return NEVER if run.end is None else run.end.at


def _is_within(era: Era, run: Run) -> bool:
    return run.start.is_scheduled and era.returned < run.start.due and run.start.at < era.ends


def _between(life: Life, delay: timedelta, before: Run, after: Run) -> Iterator[Finding]:
    if before.end is None or before.absences:
        return
    bounds, due = life.history.bounds, after.start.due
    planned = later(before.end.at, delay)
    if due < earlier(planned, bounds.early + bounds.clocks):
        yield _finding(Kind.EARLY, life, due, f"due less than {delay} after the end of {before}")
    told = any(before.start.due < record.last < due for record in life.left_out)
    latest = later(life.ready(before.end.at, until=due), delay + bounds.late + bounds.clocks)
    if due > latest and not told:
        yield _finding(Kind.LATE, life, due, f"due more than {delay} after the end of {before}")


def _at_the_end(life: Life, era: Era, delay: timedelta) -> Iterator[Finding]:
    """Find that nothing follows the last run or record, or the beginning, although the job went on."""
    history = life.history
    if era.spec is None or not life.keeps_all(era.spec):
        return
    schedule = era.spec.schedule
    if schedule.max_runs is not None and (history.since is not None or len(life.claimed()) >= schedule.max_runs):
        return
    lasts = [runs[-1] for runs in life.executions.values() if runs[0].start.is_scheduled]
    lasts = [run for run in lasts if run.start.at < era.ends]
    if any(run.end is None for run in lasts):
        return
    began = earlier(era.returned, history.bounds.clocks)
    ended = [later(run.end.at, delay) for run in lasts if run.end is not None and run.end.at >= began]
    told = [later(record.at, delay) for record in life.left_out if era.returned < record.at < era.ends]
    first = era.next(later(era.returned, history.bounds.clocks))
    planned = max([*ended, *told, *([first] if first is not None else [])], default=None)
    if planned is None or (schedule.end_at is not None and planned > schedule.end_at):
        return
    if any(run.start.due >= planned for run in lasts):
        return
    ready = life.ready(era.start_of(planned), until=history.until, waits=True)
    if later(ready, history.bounds.late + history.bounds.clocks) <= min(history.until, era.ends):
        text = f"nothing ran {delay} after the last end, or after the beginning"
        yield _finding(Kind.LOST, life, planned, text)


def _finding(kind: Kind, life: Life, due: datetime, text: str) -> Finding:
    return Finding(kind=kind, job=life.job, due=due, text=text)
