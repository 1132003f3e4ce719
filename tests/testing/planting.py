"""Faults planted into honest histories: one of a kind each, in a place where nothing excuses it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TypeAlias

from natsched.core.executions import ExecutionStatus
from natsched.testing import History, Kind, LeftOut, Start
from tests.testing.drawing import END, model_of
from tests.testing.places import (
    MARGIN,
    SECOND,
    beside,
    end_of,
    following,
    has,
    is_scheduled,
    moved,
    named,
    quiet,
    returned,
    spec_at,
    was_like,
    without,
)

S = ExecutionStatus
Planted: TypeAlias = tuple[History, datetime]
"""The history with the fault, and the instant that it is at."""
Plant: TypeAlias = Callable[[History], Iterator[Planted]]

POOL = 150
"""How many histories there are to plant into, the same in each run of the tests."""


def lost_instant(history: History) -> Iterator[Planted]:
    for start, spec in quiet(history):
        if spec.scope == "one":
            yield without(history, start.execution), start.due


def lost_chain(history: History) -> Iterator[Planted]:
    """A fixed delay whose next run is never planned."""
    for start, spec in quiet(history, fixed_delay=True):
        ends = [change.asked for change in history.changes if change.asked > start.at]
        if spec.scope == "one" and not ends and start.at < history.until - 2 * MARGIN:
            later = [one.execution for one in history.starts if one.at >= start.at and is_scheduled(one.execution)]
            told = [record for record in history.left_out if record.at < start.at]
            cut = replace(without(history, *later), left_out=told)
            if any(one.execution.startswith(named(start, "")) for one in cut.starts):
                yield cut, start.due


def bad_reason(history: History) -> Iterator[Planted]:
    """A record that nothing bears out."""
    for start, spec in quiet(history):
        if spec.scope == "one":
            for status in (S.SKIPPED, S.COALESCED, S.MISSED, S.EXPIRED, S.SUPERSEDED, S.PAUSED, S.LOST, S.RETRYING):
                record = LeftOut(
                    job=start.job,
                    execution=start.execution,
                    first=start.due,
                    last=start.due,
                    status=status,
                    at=start.at,
                    attempt=int(status in (S.LOST, S.RETRYING)),
                )
                cut = without(history, start.execution)
                yield replace(cut, left_out=[*cut.left_out, record]), start.due


def silent_instant(history: History) -> Iterator[Planted]:
    for record in history.left_out:
        ran = any(record.first <= start.due <= record.last for start in history.starts)
        others = [one for one in history.left_out if one is not record]
        told = any(one.first <= record.last and record.first <= one.last for one in others)
        spec = spec_at(history, record.first - SECOND)
        near: list[object] = [
            change for change in history.changes if abs(change.asked - record.last) < timedelta(seconds=0.5)
        ]
        near += [absence for absence in history.absences if abs(absence.at - record.first) < MARGIN]
        near += [outage for outage in history.outages if outage.back > record.first]  # it may wait for that
        claims = any(start.execution == record.execution for start in history.starts) and record.status is S.SKIPPED
        if ran or told or near or claims or record.attempt or spec is None or spec.fixed_delay is not None:
            continue
        if spec.leaves_no_trace:  # it may have vanished with a replica
            continue
        if spec.schedule.max_runs is None and record.last < history.until - 3 * MARGIN:
            yield replace(history, left_out=others), record.last


def wrong_number(history: History) -> Iterator[Planted]:
    for record in history.left_out:
        if not record.attempt and is_scheduled(record.execution):
            others = [one for one in history.left_out if one is not record]
            yield replace(history, left_out=[*others, replace(record, number=record.number + 1)]), record.last


def forgotten_retry(history: History) -> Iterator[Planted]:
    """An execution whose next attempt never comes."""
    for end in history.ends:
        changed = any(change.asked > end.at - SECOND for change in history.changes)
        if end.status is S.RETRYING and not changed and end.at < history.until - 2 * MARGIN:
            gone = [one for one in history.starts if (one.execution, one.attempt) == (end.execution, end.attempt + 1)]
            later = [one for one in history.starts if one.execution == end.execution and one.attempt > end.attempt]
            told = any(record.execution == end.execution for record in history.left_out)
            due = next(one.due for one in history.starts if one.execution == end.execution)
            if gone and not told:
                yield replace(history, starts=[one for one in history.starts if one not in later]), due


def two_executions(history: History) -> Iterator[Planted]:
    for start, spec in quiet(history, fixed_delay=None):
        if spec.scope == "one":
            yield beside(history, replace(start, execution=named(start, "9999"), at=start.at + SECOND)), start.due


def again_after_ok(history: History) -> Iterator[Planted]:
    for start, _ in quiet(history, fixed_delay=None):
        again = replace(start, attempt=2, at=start.at + 1.5 * SECOND, replica="lease.c.1")
        yield beside(history, again), start.due


def same_attempt(history: History) -> Iterator[Planted]:
    """The number of an attempt does not grow, although its replica had died."""
    for start in history.starts:
        if any(absence.replica == start.replica and absence.at > start.at for absence in history.absences):
            again = replace(start, at=start.at + 20 * SECOND, replica="lease.c.1")
            if not any(one.execution == start.execution for one in history.starts if one is not start):
                yield beside(history, again), start.due


def early_run(history: History) -> Iterator[Planted]:
    for start, _ in quiet(history, fixed_delay=None):
        yield moved(history, start, timedelta(milliseconds=-20)), start.due


def late_run(history: History) -> Iterator[Planted]:
    for start, _ in quiet(history, fixed_delay=None):
        yield moved(history, start, 1.2 * SECOND), start.due


def beside_another(history: History) -> Iterator[Planted]:
    for start, spec in quiet(history, fixed_delay=None):
        end = end_of(history, start)
        limit = spec.concurrency
        if end is not None and limit is not None:
            at = start.at + (end.at - start.at) / 2
            crowded = history
            for number in range(limit):
                crowded = beside(crowded, replace(start, execution=named(start, f"m{number}"), due=at, at=at), 9)
            yield crowded, at


def old_run(history: History) -> Iterator[Planted]:
    """A run of an instant that the job had no longer."""
    for before, after in pairwise(history.changes):
        rest = [change.asked for change in history.changes if change.asked > after.asked]
        until = min([history.until, *rest]) - 7 * SECOND
        if before.spec is None or before.uid != after.uid or before.spec.fixed_delay or not before.spec.active:
            continue
        due = following(before, returned(after) + SECOND)
        if due is None or due > until or has(after, due):
            continue
        others = [change for change in history.changes if change.uid == before.uid]
        if sum(change.spec is not None and change.spec.fixed_delay is not None for change in others) == 0:
            run = Start(job=before.job, execution=f"{before.uid}-9999", attempt=1, due=due, at=due + 5 * SECOND)
            if all(change.spec is None or not change.spec.schedule.jitter for change in others):
                run = replace(run, at=due)
            yield beside(history, run), due


def old_generation(history: History) -> Iterator[Planted]:
    """A run that another instant than that of its change cannot tell from one of the new definition."""
    for start, spec in quiet(history, fixed_delay=None):
        older = [change.spec.generation for change in history.changes if change.uid == start.uid and change.spec]
        for number in older:
            if number < spec.generation and was_like(history, start, number):
                starts = [replace(one, generation=number) if one is start else one for one in history.starts]
                yield replace(history, starts=starts), start.due


def off_schedule(history: History) -> Iterator[Planted]:
    for start, _ in quiet(history):
        if not any(change.spec and change.spec.fixed_delay for change in history.changes):
            off = timedelta(seconds=0.0371)
            run = replace(start, execution=named(start, "9999"), due=start.due + off, at=start.at + SECOND)
            yield beside(history, run), run.due


def one_too_many(history: History) -> Iterator[Planted]:
    for change in history.changes[:1]:
        assert change.spec is not None
        limit, runs = change.spec.schedule.max_runs, [one for one in history.starts if is_scheduled(one.execution)]
        if limit is None or len(history.changes) > 1 or len({one.due for one in runs}) < limit:
            continue
        due = following(change, max(one.due for one in runs) + MARGIN)
        if due is not None and due < history.until and change.spec.fixed_delay is None:
            yield beside(history, replace(runs[0], execution=f"{change.uid}-9999", due=due, at=due)), due


PLANTS: Sequence[tuple[Kind, Plant]] = (
    (Kind.LOST, lost_instant),
    (Kind.LOST, lost_chain),
    (Kind.LOST, bad_reason),
    (Kind.SILENT, silent_instant),
    (Kind.SILENT, wrong_number),
    (Kind.SILENT, forgotten_retry),
    (Kind.DOUBLED, two_executions),
    (Kind.DOUBLED, again_after_ok),
    (Kind.DOUBLED, same_attempt),
    (Kind.EARLY, early_run),
    (Kind.LATE, late_run),
    (Kind.OVERLAPPING, beside_another),
    (Kind.OUTDATED, old_run),
    (Kind.OUTDATED, old_generation),
    (Kind.UNPLANNED, off_schedule),
    (Kind.UNPLANNED, one_too_many),
)


def planted(plant: Plant, seed: int, place: int) -> Planted:
    """Plant a fault into the first of the pool's histories from that one on which has a place for it."""
    for number in range(seed, seed + POOL):
        if places := _places(plant, number % POOL):
            return places[place % len(places)]
    raise AssertionError("no history has a place for it")


@cache
def _places(plant: Plant, seed: int) -> Sequence[Planted]:
    return list(plant(_honest(seed)))


@cache
def _honest(seed: int) -> History:
    return model_of(seed).run(END)
