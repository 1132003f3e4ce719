"""All that is known of one life of a job, from its creation to its removal, and what can be asked of that."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from natsched.core.executions import TRANSITIONS, Event
from natsched.core.jobs import Spec
from natsched.core.planning import earlier, later
from natsched.testing.changes import Change
from natsched.testing.eras import NEVER, Era, eras_of
from natsched.testing.excuses import Absence
from natsched.testing.histories import History
from natsched.testing.runs import End, LeftOut, Start, is_scheduled

WAIT: Final = ("queue", "replace")
"""The overlap policies by which a run waits for others; by the rest it is skipped."""


BY_HAND: Final = frozenset(status for status, row in TRANSITIONS.items() if Event.RETRY_BY_HAND in row)
"""The ends after which another attempt comes only if somebody asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An attempt with its end, if one was seen, and the absences of its replica that touched it."""

    start: Start
    end: End | None
    absences: Sequence[Absence]

    @property
    def over(self) -> datetime:
        """When it had ended, or could no longer be known to go on."""
        ended = NEVER if self.end is None else self.end.at
        return min([ended, *(max(one.at, self.start.at) for one in self.absences if one.frozen)])

    def __str__(self) -> str:
        start = self.start
        ended = "no end" if self.end is None else f"{self.end.status} at {self.end.at.isoformat()}"
        where = "" if start.replica is None else f" on {start.replica}"
        return f"{start.execution} attempt {start.attempt}{where}, begun at {start.at.isoformat()}, {ended}"


@dataclass(slots=True, kw_only=True)
class Life:
    """One uid of a job. `runs` are in the order of their starts.

    `rivals` are runs of other jobs that had its key as long as it had; `neighbours` of all that ever had one of its.
    """

    job: str
    uid: str
    eras: Sequence[Era]
    runs: Sequence[Run]
    left_out: Sequence[LeftOut]
    history: History
    rivals: Sequence[Run] = ()
    neighbours: Sequence[Run] = ()
    executions: dict[str, list[Run]] = field(init=False)

    def __post_init__(self) -> None:
        self.executions = defaultdict(list)
        for run in self.runs:
            self.executions[run.start.execution].append(run)

    def keeps_all(self, spec: Spec) -> bool:
        """Whether all that comes of such a definition is in the log."""
        return not self.history.recorded or (spec.history == "all" and not spec.leaves_no_trace)

    @property
    def key(self) -> str | None:
        """The concurrency key that the job has had all its life."""
        return next(iter(self.keys)) if len(self.keys) == 1 else None

    @property
    def keys(self) -> frozenset[str | None]:
        return frozenset(era.spec.concurrency_key for era in self.eras if era.spec is not None)

    def is_by_hand(self, run: Run) -> bool:
        """Whether it is an attempt that only somebody can have asked for."""
        execution, attempt = run.start.execution, run.start.attempt
        last = max(
            (one for one in self.executions[execution] if one.start.attempt < attempt), default=None, key=_attempt
        )
        attempts = range(1 if last is None else last.start.attempt, attempt)
        told = {one.status for one in self.left_out if one.execution == execution and one.attempt in attempts}
        if last is not None and last.end is not None:
            told.add(last.end.status)
        return not told.isdisjoint(BY_HAND) or (last is not None and last.end is None and self.is_by_hand(last))

    def eras_at(self, since: datetime, until: datetime | None = None) -> list[Era]:
        """Return what may have been in force at some moment of that time, also as the removed job."""
        until = until or since
        return [era for era in self.eras if era.may_hold(since, until, self.history.bounds.clocks)]

    def specs_at(self, since: datetime, until: datetime | None = None) -> list[Spec]:
        """Return the specs that may have been in force at some moment of that time."""
        return [era.spec for era in self.eras_at(since, until) if era.spec is not None]

    def starts_of(self, due: datetime, *, at: datetime) -> tuple[datetime, datetime]:
        """Return the first and the last moment at which a run of that instant, known of at `at`, could start."""
        eras = [era for era in self.eras_at(min(due, at), max(due, at)) if era.has(due)]
        starts = [era.start_of(due) for era in eras] or [due]
        return min(starts), max(starts)

    def claimed(self) -> dict[datetime, str]:
        """Return the first executions that were claimed for instants of the schedule, by these, in their order."""
        found = {run.start.due: run.start.execution for run in reversed(self.runs) if run.start.is_scheduled}
        for record in self.left_out:
            if record.attempt and is_scheduled(record.execution):
                found.setdefault(record.last, record.execution)
        return dict(sorted(found.items()))

    def ready(self, at: datetime, *, until: datetime, waits: bool = False) -> datetime:
        """Return when what was to start at `at` could: when nothing was away, and with `waits` nothing in its way."""
        bounds = self.history.bounds
        while True:
            soon = later(at, bounds.late)
            delays = [then for since, then in self._delays() if since <= soon and at < then]
            if waits:
                delays += [then for since, then in self._in_the_way(at, until) if since <= soon and at < then]
            if not delays:
                return at
            at = max(delays)

    def waits(self, since: datetime, until: datetime, *, asked: bool = False) -> bool:
        """Whether a run of that time has to wait for others, and is not skipped; one that was asked for always is."""
        specs = self.specs_at(since, until)
        if any(spec.concurrency_key or spec.catch_up == "all" for spec in specs):
            return True
        return any(spec.concurrency is not None and (asked or spec.overlap in WAIT) for spec in specs)

    def is_excused(self, since: datetime, until: datetime | None = None) -> bool:
        """Whether something was away in that time, or had been back for no longer than it takes to recover."""
        return any(first <= (until or since) and since <= last for first, last in self._delays())

    def busy(self, at: datetime) -> int:
        """Count the executions that may have been under way then, each part for one."""
        bounds = self.history.bounds
        going = set()
        for run in self.runs:
            begun = earlier(run.start.claimed or run.start.at, bounds.claim + bounds.clocks)
            if begun <= at <= later(_free(run, bounds.recovery), bounds.finishing + bounds.clocks):
                going.add(run.start.execution)
        return len(going)

    def _delays(self) -> Iterator[tuple[datetime, datetime]]:
        recovery = self.history.bounds.recovery
        for absence in self.history.absences:
            yield absence.at, later(absence.at, recovery)
        for outage in self.history.outages:
            yield outage.at, later(outage.back, recovery)

    def _in_the_way(self, at: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Tell the times in which runs went on that others may have to wait for."""
        specs = self.specs_at(at, until)
        recovery = self.history.bounds.recovery
        if any(spec.catch_up == "all" for spec in specs):
            for runs in self.executions.values():
                last = runs[-1].end
                over = [_free(run, recovery) for run in runs]
                if last is not None and last.retry_at is not None:
                    over.append(later(last.retry_at, self.history.bounds.late))
                yield runs[0].start.at, max(over)
        elif any(spec.concurrency is not None or spec.concurrency_key for spec in specs):
            for run in self.runs:
                yield run.start.at, _free(run, recovery)
        for run in self.neighbours:
            yield run.start.at, _free(run, recovery)


def _attempt(run: Run) -> int:
    return run.start.attempt


def _free(run: Run, recovery: timedelta) -> datetime:
    """Return when others need no longer wait for a run."""
    dead = max((later(one.at, recovery) for one in run.absences), default=None)
    if run.end is not None:
        return max(run.end.at, dead or run.end.at)
    return dead or NEVER


def lives_of(history: History) -> list[Life]:
    """Sort the log by job and uid; what is of jobs that nothing is known of is left aside."""
    changes: dict[str, list[Change]] = defaultdict(list)
    for change in history.changes:
        changes[change.job].append(change)
    runs = _runs(history)
    left_out: dict[tuple[str, str], list[LeftOut]] = defaultdict(list)
    for record in history.left_out:
        left_out[record.job, record.uid].append(record)
    lives: list[Life] = []
    for job, asked in changes.items():
        eras = eras_of(asked)
        lives += [
            Life(
                job=job,
                uid=uid,
                eras=[era for era in eras if era.uid == uid],
                runs=runs.get((job, uid), ()),
                left_out=left_out.get((job, uid), ()),
                history=history,
            )
            for uid in dict.fromkeys(era.uid for era in eras)
        ]
    for life in lives:
        life.rivals = _rivals(life, lives)
        life.neighbours = _neighbours(life, lives)
    return lives


def _runs(history: History) -> dict[tuple[str, str], list[Run]]:
    ends: dict[tuple[str, str, int, str | None], list[End]] = defaultdict(list)
    for seen in sorted(history.ends, key=lambda end: end.at, reverse=True):
        ends[seen.job, seen.execution, seen.attempt, seen.replica].append(seen)
    absences: dict[str, list[Absence]] = defaultdict(list)
    for absence in history.absences:
        absences[absence.replica].append(absence)
    runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for start in sorted(history.starts, key=lambda start: start.at):
        which = ends.get((start.job, start.execution, start.attempt, start.replica))
        end = which.pop() if which else None
        touched = _touching(start, end, absences.get(start.replica or "", ()), history)
        runs[start.job, start.uid].append(Run(start=start, end=end, absences=touched))
    return runs


def _touching(start: Start, end: End | None, absences: Iterable[Absence], history: History) -> list[Absence]:
    bounds = history.bounds
    first = earlier(start.at, bounds.claim + bounds.clocks)
    last = NEVER if end is None else later(end.at, bounds.finishing + bounds.clocks)
    return [one for one in absences if one.at <= last and (one.back or NEVER) >= first]


def _rivals(life: Life, lives: Iterable[Life]) -> list[Run]:
    if life.key is None:
        return []
    return [run for other in lives if other is not life and other.key == life.key for run in other.runs]


def _neighbours(life: Life, lives: Iterable[Life]) -> list[Run]:
    keys = life.keys - {None}
    return [run for other in lives if other is not life and other.keys & keys for run in other.runs]
