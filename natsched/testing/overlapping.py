"""Runs that begin while as many others go on as may."""

from collections.abc import Iterator

from natsched.core.planning import earlier, later
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import Life, Run


def overlapping(life: Life) -> Iterator[Finding]:
    """Find runs that began beside too many others of the job, or beside one of another job with its key.

    Those of a definition whose runs leave no trace are counted by nobody, also after it was changed.
    """
    clocks = life.history.bounds.clocks
    going: list[Run] = []
    for run in life.runs:
        at = run.start.at
        going = [other for other in going if other.over > later(at, clocks)]
        others = {other.start.base: other for other in going if other.start.base != run.start.base}
        limit = _limit(life, run)
        if limit is not None and len(others) >= limit:
            text = f"{run} overlaps with {', '.join(map(str, others.values()))}"
            yield _finding(life, run, text)
        if not any(spec.leaves_no_trace for spec in life.specs_at(at)):
            going.append(run)
        if life.key is None:
            continue
        for other in life.rivals:
            if other.start.at <= at and other.over > later(at, clocks):
                yield _finding(life, run, f"{run} overlaps with {other}, of a job with its concurrency key")


def _limit(life: Life, run: Run) -> int | None:
    """Return how many the job allowed at most when the run was claimed."""
    claimed = run.start.claimed or earlier(run.start.at, life.history.bounds.claim)
    specs = life.specs_at(claimed, run.start.at) or [era.spec for era in life.eras if era.spec is not None]
    limits = [spec.concurrency for spec in specs]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def _finding(life: Life, run: Run, text: str) -> Finding:
    start = run.start
    return Finding(kind=Kind.OVERLAPPING, job=life.job, due=start.due, execution=start.execution, text=text)
