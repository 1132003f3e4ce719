"""What becomes of a plan that is looked at: which instant runs, and which are left out and why.

What is given up comes first, in a write of its own, so that one record tells of one kind: instants whose deadline
has passed, then those that are too old to be made up for. The next look finds a plan of what is left.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from natsched.core.backoff import LONGEST
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.planning import TICK, earlier, gap_of, next_of, start_of
from natsched.core.schedules import Gap

LATE: Final = timedelta(seconds=1)
"""How late a plan is looked at before its job's catch-up policy has a say."""

LeftOut: TypeAlias = Literal[ExecutionStatus.COALESCED, ExecutionStatus.MISSED, ExecutionStatus.EXPIRED]

LATER_RUNS: Final = "a later instant runs for it"
EARLIER_RUNS: Final = "an earlier instant runs for it"
TOO_LATE: Final = "looked at too late"
TOO_MANY: Final = "more were missed than are made up for"
TOO_OLD: Final = "older than its catch-up window"
PAST_DEADLINE: Final = "its deadline passed before it was claimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What the catch-up policy makes of a plan: the instant to run (if any) and the instants left out.

    `after` is the last instant that is settled by it: the next due is the first one after that.
    """

    due: datetime | None
    after: datetime
    left_out: Gap | None = None
    status: LeftOut = ExecutionStatus.COALESCED
    reason: str = LATER_RUNS


def take(job: Job, now: datetime) -> Take:
    """Choose what runs of a plan that is looked at now."""
    due = job.status.plan.due
    assert due is not None, "only a plan with a due is taken"
    if now <= due:  # as nearly always: it is looked at just before
        return Take(due=due, after=due)
    given_up = _expired(job, due, now) or _too_old(job, due, now)
    if given_up is not None:
        return given_up
    late = now - start_of(job, due)
    if not is_late(job, now):
        if job.spec.overlap in ("queue", "replace") and late > timedelta(0):  # what waited meanwhile is one run
            if job.spec.catch_up == "latest":
                return _take_last(job, due, due + late)
            if job.spec.catch_up == "earliest":
                return _take_first(job, due, due + late)
        return Take(due=due, after=due)
    match job.spec.catch_up:
        case "latest":
            return _take_last(job, due, now)
        case "earliest":
            return _take_first(job, due, now)
        case "none":
            return _take_recent(job, due, now)
        case "all":
            return _take_each(job, due, now)


def is_late(job: Job, now: datetime) -> bool:
    """Whether the job's plan is looked at so late after its start that its catch-up policy has a say."""
    due = job.status.plan.due
    if due is None:
        return False
    late = now - start_of(job, due)
    return late > LATE or (job.spec.catch_up == "none" and not _is_recent(job, due, now))


def _expired(job: Job, due: datetime, now: datetime) -> Take | None:
    """Give up the instants whose deadline has passed, whatever the policy."""
    if job.spec.deadline is None:
        return None
    edge = earlier(now, timedelta(seconds=min(job.spec.deadline, LONGEST)))
    if due > edge:
        return None
    return _give_up(gap_of(job, due, edge), ExecutionStatus.EXPIRED, PAST_DEADLINE)


def _too_old(job: Job, due: datetime, now: datetime) -> Take | None:
    """Give up what lies before the catch-up window, to which the jitter is added: that is no lateness."""
    window = job.spec.catch_up_window
    if window is None or job.spec.catch_up == "none" or not is_late(job, now):
        return None
    edge = earlier(earlier(now, timedelta(seconds=min(window, LONGEST))), job.spec.schedule.jitter or timedelta(0))
    if due >= edge:
        return None
    return _give_up(gap_of(job, due, edge - TICK), ExecutionStatus.MISSED, TOO_OLD)


def _give_up(passed: Gap, status: LeftOut, reason: str) -> Take:
    return Take(due=None, after=passed.last, left_out=passed, status=status, reason=reason)


def _is_recent(job: Job, due: datetime, now: datetime) -> bool:
    return (now - start_of(job, due)).total_seconds() <= job.spec.tolerance


def _take_last(
    job: Job,
    due: datetime,
    now: datetime,
    status: LeftOut = ExecutionStatus.COALESCED,
    reason: str = LATER_RUNS,
) -> Take:
    passed = gap_of(job, due, now)
    if passed.last == due:
        return Take(due=due, after=due)
    left_out = gap_of(job, due, passed.last - TICK)
    return Take(due=passed.last, after=passed.last, left_out=left_out, status=status, reason=reason)


def _take_first(job: Job, due: datetime, now: datetime) -> Take:
    following = None if job.spec.fixed_delay is not None else next_of(job, due)
    if following is None or following > now:
        return Take(due=due, after=due)
    left_out = gap_of(job, following, now)
    return Take(due=due, after=left_out.last, left_out=left_out, reason=EARLIER_RUNS)


def _take_recent(job: Job, due: datetime, now: datetime) -> Take:
    recent = _is_recent(job, due, now)
    passed = gap_of(job, due, now)
    if _is_recent(job, passed.last, now):
        if recent:
            return _take_last(job, due, now)
        return _take_last(job, due, now, ExecutionStatus.MISSED, TOO_LATE)
    if recent:
        return Take(due=due, after=due)
    return _give_up(passed, ExecutionStatus.MISSED, TOO_LATE)


def _take_each(job: Job, due: datetime, now: datetime) -> Take:
    limit = job.spec.catch_up_limit
    passed = gap_of(job, due, now)
    if passed.exact and passed.number <= limit:
        return Take(due=due, after=due)
    first = _limit_from_the_end(job, due, now, limit)
    if first <= due:
        return Take(due=due, after=due)
    left_out = gap_of(job, due, first - TICK)
    return Take(due=first, after=first, left_out=left_out, status=ExecutionStatus.MISSED, reason=TOO_MANY)


def _limit_from_the_end(job: Job, due: datetime, now: datetime, limit: int) -> datetime:
    """Find the instant from which on at most about `limit` instants lie not after now, by halving."""
    low, high = due, now
    while high - low > timedelta(milliseconds=50):
        middle = low + (high - low) / 2
        first = next_of(job, middle)
        if first is not None and first <= now and gap_of(job, first, now).number >= limit:
            low = middle
        else:
            high = middle
    found = next_of(job, low)
    return found if found is not None and found <= now else due
