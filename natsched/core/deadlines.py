"""Until when an execution may run: its job's time limit for each attempt, and its deadline for all of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from natsched.core.backoff import LONGEST
from natsched.core.endings import Outcome
from natsched.core.executions import Event, ExecutionStatus, advance
from natsched.core.jobs import Running, Spec
from natsched.core.planning import later


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What an attempt that starts now is given: so many seconds, up to an instant; None for no end.

    `is_cut` tells that the deadline, not the time limit, is what ends it.
    """

    seconds: float | None = None
    until: datetime | None = None
    is_cut: bool = False


def deadline_of(spec: Spec, due: datetime) -> datetime | None:
    """Return the instant by which a run of that due has to be over, if its job has a deadline."""
    return None if spec.deadline is None else later(due, timedelta(seconds=min(spec.deadline, LONGEST)))


def allowance(spec: Spec, entry: Running, now: datetime) -> Allowance:
    """Return what is left to an attempt that starts now: the smaller of its time limit and its deadline's rest."""
    limit, deadline = spec.timeout, entry.deadline
    left = None if deadline is None else (deadline - now).total_seconds()
    if left is not None and (limit is None or left < limit):
        return Allowance(seconds=max(left, 0.0), until=deadline, is_cut=True)
    if limit is None:
        return Allowance()
    return Allowance(seconds=limit, until=later(now, timedelta(seconds=min(limit, LONGEST))))


def too_late(now: datetime) -> Outcome:
    """Return the end of an attempt that was claimed in time, but could not begin before its deadline."""
    return Outcome(
        status=advance(ExecutionStatus.RUNNING, Event.EXCEED_TIMEOUT),
        started_at=None,
        ended_at=now,
        error="its deadline passed before it began",
    )
