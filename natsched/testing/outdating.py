"""Runs that no definition allowed which was in force when they were claimed."""

from collections.abc import Iterator

from natsched.core.planning import earlier, later
from natsched.testing.eras import Era
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import Life, Run


def outdated(life: Life) -> Iterator[Finding]:
    """Find runs by a definition whose change had returned before their claim: an update, a pause, a removal."""
    for run in life.runs:
        if (past := _not_in_force(life, run)) and any(_is_over(life, era, run) for era in past):
            text = f"its definition had been changed when it was claimed: {run}"
            yield _finding(Kind.OUTDATED, life, run, text)


def unplanned(life: Life) -> Iterator[Finding]:
    """Find runs of instants that no definition has, or had yet, and those beyond the greatest `max_runs`."""
    for run in life.runs:
        past = _not_in_force(life, run)
        if past is not None and not any(_is_over(life, era, run) for era in past):
            yield _finding(Kind.UNPLANNED, life, run, f"no definition has this instant: {run}")
    limits = [era.spec.schedule.max_runs for era in life.eras if era.spec is not None]
    known = [limit for limit in limits if limit is not None]
    if known and len(known) == len(limits):
        beyond = list(life.claimed().values())[max(known) :]
        for execution in beyond:
            for run in life.executions.get(execution, ())[:1]:
                yield _finding(Kind.UNPLANNED, life, run, f"it has had its {max(known)} runs before: {run}")


def _not_in_force(life: Life, run: Run) -> list[Era] | None:
    """Return the definitions that allow the run, if none of them was in force from its claim to its start."""
    bounds, start = life.history.bounds, run.start
    allowing = [era for era in life.eras if _allows(life, era, run)]
    own = [era for era in allowing if era.spec is not None and era.spec.generation == start.generation]
    allowing = own or allowing
    claimed = start.claimed or earlier(start.at, bounds.claim)
    if any(era.may_hold(claimed, start.at, bounds.clocks) for era in allowing):
        return None
    return allowing


def _allows(life: Life, era: Era, run: Run) -> bool:
    if era.spec is None:
        return False
    if not run.start.is_scheduled or life.is_by_hand(run):
        return True
    return era.is_active(run.start.at) and (run.start.attempt > 1 or era.has(run.start.due))


def _is_over(life: Life, era: Era, run: Run) -> bool:
    return later(era.over, life.history.bounds.clocks) < run.start.at


def _finding(kind: Kind, life: Life, run: Run, text: str) -> Finding:
    start = run.start
    return Finding(kind=kind, job=life.job, due=start.due, execution=start.execution, text=text)
