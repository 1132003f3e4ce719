"""Runs of instants that have passed, asked for afterwards, whether they ran at their time or not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from natsched.core.chains import After
from natsched.core.ids import backfill_execution
from natsched.core.jobs import MAX_MANUAL, ExecutionId, Job, Manual
from natsched.core.planning import TICK, earlier, gap_of, next_of
from natsched.core.schedules import instants
from natsched.errors import InvalidJob, TooManyEntries


def instants_to_run(job: Job, start: datetime, end: datetime, now: datetime) -> Mapping[ExecutionId, datetime]:
    """Return the instants of the job's schedule in [start, end) by the executions that run them, in order.

    Those from the planned one on are the plan's to run.
    """
    _check(job, start, end, now)
    due = job.status.plan.due
    until = earlier(end if due is None else min(end, due), TICK)
    first = next_of(job, earlier(start, TICK))
    if first is None or first > until:
        return {}
    passed = gap_of(job, first, until)
    if passed.number > MAX_MANUAL:
        raise TooManyEntries(
            f"{job.id} has {passed.number:,} instants from {start.isoformat()} to {end.isoformat()}, and no more "
            f"than {MAX_MANUAL} may wait at once: begin with those before {_edge(job, first).isoformat()}",
            job=job.id,
        )
    all_after = instants(job.spec.schedule, earlier(first, TICK), anchor=job.spec.anchor, salt=job.id)
    return {backfill_execution(job.uid, one): one for one in takewhile(lambda one: one <= until, all_after)}


def backfill(job: Job, wanted: Mapping[ExecutionId, datetime], now: datetime) -> Job:
    """Ask for runs of these instants; the plan is not touched. They are handed out in the order of their instants."""
    waiting = len(job.status.manual)
    if waiting + len(wanted) > MAX_MANUAL:
        raise TooManyEntries(
            f"{len(wanted)} instants are to run and {waiting} runs of {job.id} that were asked for wait already: "
            f"no more than {MAX_MANUAL} may wait at once, so let some start first or take a shorter range",
            job=job.id,
        )
    asked = {
        execution: Manual(at=now + number * timedelta(microseconds=1), due=due)
        for number, (execution, due) in enumerate(wanted.items())
    }
    manual: Mapping[ExecutionId, Manual] = {**job.status.manual, **asked}
    return replace(job, status=replace(job.status, manual=manual, completed=None))


def is_under_way(job: Job, execution: ExecutionId) -> bool:
    """Whether the execution waits, runs or is to be tried again."""
    status = job.status
    return execution in status.manual or execution in status.running or execution in status.retries


def _edge(job: Job, first: datetime) -> datetime:
    """Return the instant before which there are as many from `first` on as may wait."""
    after = instants(job.spec.schedule, first, anchor=job.spec.anchor, salt=job.id)
    return next(islice(after, MAX_MANUAL - 1, None))


def _check(job: Job, start: datetime, end: datetime, now: datetime) -> None:
    for field, instant in (("start", start), ("end", end)):
        if instant.tzinfo is None:
            raise InvalidJob(f"{instant} has no time zone: make it aware, e.g. with tzinfo=UTC", field=field)
    if end <= start:
        raise InvalidJob(f"{end.isoformat()} does not lie after {start.isoformat()}, the start", field="end")
    if end > now:
        raise InvalidJob(
            f"{end.isoformat()} lies ahead of now, {now.isoformat()}: a backfill is of instants that have passed, "
            "the plan sees to the others",
            field="end",
        )
    if isinstance(job.spec.schedule, After):
        raise InvalidJob(
            f"{job.id} has no instants, it runs after other jobs or by hand: trigger it", field="schedule"
        )
    if job.spec.fixed_delay is not None:
        raise InvalidJob(
            f"{job.id} counts each instant from the end of a run, so none can be told of the past: trigger it",
            field="schedule",
        )
