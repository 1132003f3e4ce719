"""What a history must not show, whatever befell whom: broken promises, each as a sentence."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from natsched.core.jobs import Job
from natsched.core.planning import plan_hint
from natsched.core.schedules import instants
from tests.simulation.world import CALM, SECONDS, Asked, Call, Journal
from tests.virtual import EPOCH

EARLY: Final = timedelta(milliseconds=8)
"""How far a clock that drifts may be off between two comparisons."""

UNDER_WAY: Final = timedelta(seconds=4)
"""How long after its claim a run may start, over a link that is slow."""

_BEFORE, _AFTER = timedelta(seconds=6), timedelta(seconds=12)
_CALMED: Final = EPOCH + timedelta(seconds=SECONDS + 2 * CALM / 3)
_LATE: Final = timedelta(seconds=12)
_WHOLE: Final = timedelta(seconds=60)


def problems(journal: Journal, options: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    """Say what broke a promise; `options` are those of each version of a job."""
    jobs: dict[tuple[str, str], list[Call]] = defaultdict(list)
    executions: dict[str, list[Call]] = defaultdict(list)
    for call in sorted(journal.calls, key=lambda call: call.started):
        jobs[call.job, call.execution.split("-")[0]].append(call)
        executions[call.execution].append(call)
        if call.started < call.due - EARLY:
            yield f"early: {call}"
        yield from _outdated(journal, call)
    for tries in executions.values():
        yield from _doubled(journal, tries, options)
    for calls in jobs.values():
        yield from _overlapping(journal, calls, options)
    for job in journal.jobs.values():
        yield from _left_behind(journal, job)
        yield from _lost(journal, job)


def excused(journal: Journal, member: str, since: datetime, until: datetime) -> bool:
    """Whether the member, or the server, was away at about that time."""
    return any(
        one.whom in (member, "server") and one.since <= until + _BEFORE and one.until + _AFTER >= since
        for one in journal.mishaps
    )


def _outdated(journal: Journal, call: Call) -> Iterator[str]:
    """No run of an old definition is claimed once its change has returned."""
    for asked in journal.asked:
        if (
            asked.job != call.job
            or asked.answered is None
            or asked.error
            or asked.answered > call.started - UNDER_WAY
        ):
            continue
        if excused(journal, call.member, asked.answered, call.started):
            continue
        if asked.what == "ensure" and asked.version > call.version:
            yield f"of an old definition: {call} although {asked}"
        if asked.what in ("pause", "remove") and not call.manual and not _taken_back(journal, asked, call):
            yield f"in spite of {asked.what}: {call} although {asked}"


def _taken_back(journal: Journal, asked: Asked, call: Call) -> bool:
    back = "resume" if asked.what == "pause" else "ensure"
    again = (
        one for one in journal.asked if one.job == call.job and one is not asked and one.what in (back, "ensure")
    )
    return any(asked.asked <= one.asked <= call.started for one in again)


def _doubled(journal: Journal, tries: list[Call], options: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    for first, second in pairwise(tries):
        if second.attempt <= first.attempt:
            yield f"two attempts of one number: {first} and {second}"
        elif options[first.version]["delivery"] == "at_most_once":
            yield f"more than once: {first} and {second}"
        elif first.how != "cancels" and not excused(
            journal, first.member, first.started, first.ended or journal.ended
        ):
            yield f"doubled without a death: {first} and {second}"


def _overlapping(journal: Journal, calls: list[Call], options: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    for number, first in enumerate(calls):
        for second in calls[number + 1 :]:
            if second.started >= (first.ended or journal.ended):
                continue
            if "allow" in (options[first.version]["overlap"], options[second.version]["overlap"]):
                continue
            if not excused(journal, first.member, first.started, second.started):
                yield f"overlapping: {first} and {second}"


def _left_behind(journal: Journal, job: Job) -> Iterator[str]:
    """After the calm nothing waits for anybody who is gone."""
    status, active = job.status, job.spec.is_active(journal.ended)
    if status.manual:
        yield f"asked for and never run: {job}"
    for execution, entry in status.running.items():
        old = journal.ended - max(entry.due, EPOCH + timedelta(seconds=SECONDS)) > _WHOLE
        if active and old and execution not in journal.active:
            yield f"running nowhere: {execution} of {job}"
    hint = plan_hint(job, 1)
    waits = status.running and (job.spec.catch_up == "all" or job.spec.overlap in ("queue", "replace"))
    if hint is not None and active and not waits and journal.ended - hint.start > _LATE:
        yield f"due and not run: {job}"


def _lost(journal: Journal, job: Job) -> Iterator[str]:
    """Each instant of the last part of the calm has a run or a record."""
    spec = job.spec
    if not spec.is_active(journal.ended) or spec.fixed_delay is not None or job.status.completed is not None:
        return
    if spec.catch_up == "all" and job.status.running:
        return  # it is still at what it makes up for
    ran = {call.due for call in journal.calls if call.job == job.id}
    told = [record for record in journal.records if record.job == job.id and not record.attempt]
    for due in instants(spec.schedule, _CALMED, anchor=spec.anchor, salt=job.id):
        if due > journal.ended - _LATE:
            return
        if due not in ran and not any((one.first or one.due) <= due <= (one.last or one.due) for one in told):
            yield f"lost: {due.isoformat()} of {job.id}"
