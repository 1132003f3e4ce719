"""Instants and executions that run again without an excuse."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import combinations, pairwise
from typing import Final

from natsched.core.executions import TRANSITIONS, Event
from natsched.core.planning import earlier, later
from natsched.testing.eras import NEVER
from natsched.testing.findings import Finding, Kind
from natsched.testing.lives import BY_HAND, Life, Run

_AGAIN: Final = BY_HAND | {status for status, row in TRANSITIONS.items() if Event.CLAIM in row}
"""The ends after which another attempt may follow."""


def doubled(life: Life) -> Iterator[Finding]:
    """Find instants with two executions, and attempts that follow one which nothing shows to have failed."""
    instants: dict[datetime, list[Run]] = defaultdict(list)
    for runs in life.executions.values():
        if runs[0].start.is_scheduled:
            instants[runs[0].start.due].append(runs[0])
        for first, second in pairwise(runs):
            if second.start.attempt <= first.start.attempt:
                yield _finding(life, second, f"the number of the attempt did not grow: {first}, then {second}")
            elif not _may_follow(life, first, second):
                yield _finding(life, second, f"run again without a death: {first}, then {second}")
    for firsts in instants.values():
        for one, other in combinations(firsts, 2):
            if not _are_parts(life, one, other):
                yield _finding(life, other, f"two executions of one instant: {one} and {other}")


def _may_follow(life: Life, first: Run, second: Run) -> bool:
    if life.is_by_hand(second):
        return True
    bounds = life.history.bounds
    specs = life.specs_at(first.start.at, second.start.at)
    if specs and all(spec.delivery == "at_most_once" for spec in specs):
        return False
    if first.end is not None and first.end.status in _AGAIN:
        return True
    began = later(second.start.at, bounds.clocks)
    if any(absence.at <= began for absence in first.absences):
        return True
    over = NEVER if first.end is None else later(first.end.at, bounds.finishing + bounds.clocks)
    return any(
        outage.at <= min(began, over) and first.start.at <= later(outage.back, bounds.clocks)
        for outage in life.history.outages
    )


def _are_parts(life: Life, one: Run, other: Run) -> bool:
    """Whether they are the parts that two replicas have in one execution."""
    since = one.start.claimed or earlier(one.start.at, life.history.bounds.claim)
    specs = life.specs_at(min(since, other.start.at), other.start.at)
    if one.start.base != other.start.base or not any(spec.scope == "all" for spec in specs):
        return False
    if other.start.attempt > 1:  # it was asked for by hand: any replica may have it
        return True
    return one.start.replica is None or one.start.replica != other.start.replica


def _finding(life: Life, run: Run, text: str) -> Finding:
    start = run.start
    return Finding(kind=Kind.DOUBLED, job=life.job, due=start.due, execution=start.execution, text=text)
