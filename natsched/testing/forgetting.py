"""Executions that ended for nobody: their replica died, or another attempt was to follow, and that is all."""

from collections.abc import Iterator
from datetime import datetime

from natsched.core.executions import ExecutionStatus
from natsched.core.planning import later
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import Life, Run


def forgotten(life: Life) -> Iterator[Finding]:
    """Find executions that neither go on nor have a record of their end."""
    history = life.history
    told = {record.execution for record in life.left_out}
    for execution, runs in life.executions.items():
        last = runs[-1]
        open_since = _open_since(life, last)
        if open_since is None or execution in told or not _goes_on(life, last, open_since):
            continue
        ready = life.ready(open_since, until=history.until, waits=True)
        if later(ready, history.bounds.late + history.bounds.recovery + history.bounds.clocks) <= history.until:
            text = f"no other attempt and no record of its end followed: {last}"
            yield Finding(kind=Kind.SILENT, job=life.job, due=last.start.due, execution=execution, text=text)


def _open_since(life: Life, run: Run) -> datetime | None:
    """Return since when something has to follow, if so."""
    if run.end is None:
        gone = [one.at for one in run.absences]
        gone += [one.at for one in life.history.outages if one.back >= run.start.at]
        return max(min(gone), run.start.at) if gone else None
    if run.end.status in (ExecutionStatus.RETRYING, ExecutionStatus.INTERRUPTED):
        return run.end.retry_at or run.end.at
    return None


def _goes_on(life: Life, run: Run, since: datetime) -> bool:
    """Whether the job, from then on and up to the end of what is known, has it go on, and keeps record of that."""
    for era in life.eras_at(min(since, run.start.at), life.history.until):
        if era.spec is None or era.spec.leaves_no_trace:
            return False
        if not life.keeps_all(era.spec):
            return False
        if run.start.is_scheduled and not era.spec.active:
            return False
    return True
