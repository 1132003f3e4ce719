"""Runs that begin before their instant, or later than they could."""

from collections.abc import Iterator

from natsched.core.planning import earlier, later
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import Life
from natsched.testing.runs import is_scheduled


def early(life: Life) -> Iterator[Finding]:
    """Find runs, of any attempt, that began before their instant and its jitter."""
    bounds = life.history.bounds
    for run in life.runs:
        start = run.start
        instant, _ = (
            life.starts_of(start.due, at=start.claimed or start.at) if start.is_scheduled else (start.due, start.due)
        )
        if start.at < earlier(instant, bounds.early + bounds.clocks):
            text = f"begun {(instant - start.at).total_seconds():g} s early: {run}"
            yield Finding(kind=Kind.EARLY, job=life.job, due=start.due, execution=start.execution, text=text)


def late(life: Life) -> Iterator[Finding]:
    """Find executions that began later than they could; those of a backfill may take their time.

    One that never began before somebody asked for its next attempt is not late, but lost, and judged as that.
    """
    bounds, since = life.history.bounds, life.history.since
    for execution, runs in life.executions.items():
        start = runs[0].start
        if start.execution.startswith(f"{life.uid}-b") or life.is_by_hand(runs[0]):
            continue
        asked = not is_scheduled(execution)
        instant = start.due if asked else life.starts_of(start.due, at=start.at)[1]
        most = bounds.late + bounds.clocks
        if start.at <= later(instant, most) or (since is not None and instant < since):
            continue
        waits = life.waits(instant, start.at, asked=asked)
        ready = life.ready(instant, until=start.at, waits=waits)
        if start.at > later(ready, most):
            seconds = (start.at - ready).total_seconds()
            text = f"begun {seconds:g} s after it could: {runs[0]}"
            yield Finding(kind=Kind.LATE, job=life.job, due=start.due, execution=execution, text=text)
