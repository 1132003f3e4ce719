"""The hints that a document is owed: whoever writes it publishes them, and the reconciler those that got lost."""

from collections.abc import Iterator
from datetime import datetime

from natsched.core.hints import Hint, RunHint
from natsched.core.jobs import ExecutionId, Job, Running
from natsched.core.planning import plan_hint, start_of_running, under_way


def owed(before: Job, after: Job, revision: int) -> Iterator[Hint]:
    """Return the hints that a write owes, which put `after` in the place of `before`."""
    if after.status.plan != before.status.plan and (hint := plan_hint(after, revision)) is not None:
        yield hint
    for execution, entry in after.status.running.items():
        if entry.lease is None and entry.assigned and before.status.running[execution].lease is not None:
            yield takeover_hint(after, execution, entry, revision)  # no delivery is left of it
    yield from new_runs(before, after, revision)


def orphaned(before: Job, after: Job, revision: int) -> Iterator[Hint]:
    """Return hints of executions that wait to be taken over: after an end as many are left as may run at once.

    So not all of them can be alive, and what is may lose to the next plan each time, unless it is woken at once.
    """
    limit = after.spec.concurrency
    if limit is None or after.spec.scope == "all" or len(after.status.running) >= len(before.status.running):
        return
    if len(after.status.running) >= limit:
        for execution, entry in after.status.running.items():
            yield takeover_hint(after, execution, entry, revision)


def freed(before: Job, after: Job, revision: int, now: datetime) -> Iterator[Hint]:
    """Return hints of what may have waited for the end of a run, in whichever replica or the queue.

    Without them it would be looked at again when its own hint comes, after up to seconds. Of what was asked for as
    much is woken as may begin now: each of the others would be held once more at each end, until its turn.
    """
    if len(after.status.running) >= len(before.status.running):
        return
    hint = plan_hint(after, revision)
    if hint is not None and hint.start <= now and _waits_for_ends(after):
        yield hint
    if after.spec.concurrency is None:
        return
    waiting = sorted(after.status.manual.items(), key=lambda item: item[1].due or item[1].at)
    for execution, _ in waiting[: max(1, after.spec.concurrency - len(after.status.running))]:
        yield manual_hint(after, execution, revision)
    for execution in after.status.retries.keys() & before.status.retries.keys():
        again = retry_hint(after, execution, revision)
        if again is not None and again.start <= now:
            yield again


def _waits_for_ends(job: Job) -> bool:
    """Whether a plan that is due may have waited for an end, and now need not any more."""
    if job.spec.concurrency is not None and job.spec.overlap in ("queue", "replace"):
        return True
    return job.spec.catch_up == "all" and not under_way(job.status.running, job.status.retries)


def new_runs(before: Job, after: Job, revision: int) -> Iterator[Hint]:
    """Return the hints of the attempts that a write planned, and of the ends that are to be passed on."""
    for execution in after.status.retries.keys() - before.status.retries.keys():
        if (again := retry_hint(after, execution, revision)) is not None:
            yield again
    for execution in after.status.handovers.keys() - before.status.handovers.keys():
        yield handover_hint(after, execution, revision)


def takeover_hint(job: Job, execution: ExecutionId, entry: Running, revision: int) -> RunHint:
    return _run_hint(job, execution, entry.attempt + 1, start_of_running(job, entry), revision)


def manual_hint(job: Job, execution: ExecutionId, revision: int) -> RunHint:
    """Return the hint of a run that was asked for by hand."""
    return _run_hint(job, execution, 1, job.status.manual[execution].at, revision)


def handover_hint(job: Job, execution: ExecutionId, revision: int) -> RunHint:
    """Return the hint of an end that is to be told to the jobs that follow; no attempt has such a number."""
    ended = job.status.handovers[execution]
    return _run_hint(job, execution, -ended.attempt, ended.at, revision)


def retry_hint(job: Job, execution: ExecutionId, revision: int) -> RunHint | None:
    """Return the hint of an execution's next attempt; None if it has to wait until somebody resumes the job."""
    again, until = job.status.retries[execution], job.spec.paused_until
    start = again.at
    if not again.manual and not job.spec.active:
        if until is None:
            return None
        start = max(start, until)
    return _run_hint(job, execution, again.attempt, start, revision)


def _run_hint(job: Job, execution: ExecutionId, attempt: int, start: datetime, revision: int) -> RunHint:
    return RunHint(
        job=job.id,
        uid=job.uid,
        execution=execution,
        attempt=attempt,
        start=start,
        revision=revision,
        queue=job.spec.queue,
    )
