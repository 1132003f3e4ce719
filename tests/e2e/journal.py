"""What the handlers wrote down, and the checker of the promises that it has to keep."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Final, Literal

EARLY: Final = 0.005
"""Seconds that two readings of one clock by different ways may differ."""

FINISHING: Final = 0.5
"""Seconds that the last writes of a run may take: it counts as under way for so long after its handler's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A time in which a process could not prove that it lives; the runs that it was at then may run again.

    One that was `frozen` or killed did not notice, so others run what it was at; one that only lost the server
    must cancel its runs before that.
    """

    pid: int
    at: float
    back: float = inf
    frozen: bool = True


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One call of a handler; `ended` is None for one that nobody saw end."""

    job: str
    execution: str
    attempt: int
    due: datetime
    replica: str
    pid: int
    payload: Any
    started: float
    ended: float | None = None
    how: Literal["end", "cancelled"] | None = None

    @property
    def lag(self) -> float:
        """Seconds from due to start."""
        return self.started - self.due.timestamp()

    @property
    def over(self) -> float:
        return inf if self.ended is None else self.ended

    def within(self, absence: Absence) -> bool:
        """Whether the process was at this run when it was absent."""
        return self.pid == absence.pid and self.started <= absence.back and self.over >= absence.at - FINISHING

    def until(self, absences: Iterable[Absence]) -> float:
        """Return when it was over: at its end or when its process was frozen."""
        return min([self.over, *(one.at for one in absences if one.frozen and self.within(one))])


@dataclass(slots=True)
class Journal:
    """The file that all replicas of a test append to."""

    path: Path
    _attempts: list[Attempt] = field(default_factory=list)
    _open: dict[tuple[str, int, int], Attempt] = field(default_factory=dict)
    _read: int = 0

    def attempts(self, prefix: str = "") -> list[Attempt]:
        """Return all attempts so far of the jobs below a prefix, in the order of their starts."""
        self._read_on()
        return [one for one in self._attempts if one.job.startswith(prefix)]

    def ended(self, prefix: str = "") -> list[Attempt]:
        """Return the attempts that came to their end."""
        return [one for one in self.attempts(prefix) if one.how == "end"]

    def running(self, prefix: str = "") -> list[Attempt]:
        """Return the attempts of which no end is known."""
        return [one for one in self.attempts(prefix) if one.how is None]

    def missing(self, dues: Mapping[str, Sequence[datetime]]) -> list[tuple[str, datetime]]:
        """Return what of these was never started."""
        started = {(one.job, one.due) for one in self.attempts()}
        return [(job, due) for job, instants in dues.items() for due in instants if (job, due) not in started]

    def lags(self, prefix: str = "") -> dict[str, float]:
        """Return the largest lag of each job, in seconds."""
        worst: dict[str, float] = defaultdict(float)
        for one in self.attempts(prefix):
            worst[one.job] = max(worst[one.job], one.lag)
        return dict(worst)

    def check(self, *absences: Absence, may_overlap: str | None = None) -> None:
        """Check that nothing ran early, overlapped, or ran twice but for what the absences excuse.

        Jobs whose ids begin with `may_overlap` may.
        """
        found = list(problems(self.attempts(), absences, may_overlap))
        assert not found, f"{len(found)} problems, such as:\n" + "\n".join(found[:10])

    def _read_on(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._note(json.loads(line))

    def _note(self, line: dict[str, Any]) -> None:
        what, at = line.pop("what"), line.pop("at")
        key = (line["execution"], line["attempt"], line["pid"])
        if what == "start":
            attempt = Attempt(**{**line, "due": datetime.fromisoformat(line["due"])}, started=at)
            self._attempts.append(attempt)
            self._open[key] = attempt
        else:
            attempt = self._open.pop(key)
            attempt.ended, attempt.how = at, what


def problems(
    attempts: Iterable[Attempt], absences: Sequence[Absence], may_overlap: str | None = None
) -> Iterator[str]:
    """Say what broke a promise."""
    jobs: dict[str, list[Attempt]] = defaultdict(list)
    executions: dict[str, list[Attempt]] = defaultdict(list)
    instants: dict[tuple[str, datetime], set[str]] = defaultdict(set)
    for one in sorted(attempts, key=lambda attempt: attempt.started):
        jobs[one.job].append(one)
        executions[one.execution].append(one)
        instants[one.job, one.due].add(one.execution)
        if one.lag < -EARLY:
            yield f"early by {-one.lag:.4f} s: {one}"
    for (job, due), names in instants.items():
        if len(names) > 1:
            yield f"{job} has several executions of {due}: {names}"
    for tries in executions.values():
        yield from _doubled(tries, absences)
    for job, runs in jobs.items():
        if may_overlap is None or not job.startswith(may_overlap):
            yield from _overlapping(runs, absences)


def _doubled(tries: Sequence[Attempt], absences: Sequence[Absence]) -> Iterator[str]:
    for first, second in pairwise(tries):
        if first.how != "cancelled" and not any(first.within(absence) for absence in absences):
            yield f"run twice without a death: {first} and {second}"
        elif second.attempt <= first.attempt:
            yield f"a second attempt with the number of the first: {first} and {second}"


def _overlapping(runs: Sequence[Attempt], absences: Sequence[Absence]) -> Iterator[str]:
    for first, second in pairwise(runs):
        if second.started < first.until(absences):
            yield f"overlapping: {first} and {second}"
