"""What befell whom and when: what excuses runs, and what a report tells."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

from natsched.testing import Absence, Outage

_PULSE: Final = 0.05


def now() -> datetime:
    """Return the true time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One trouble, of a kind, that befell somebody; what it excuses is noted beside it."""

    kind: str
    whom: str
    at: datetime
    back: datetime

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.kind} of {self.whom} for {(self.back - self.at).total_seconds():.1f} s"


@dataclass(slots=True)
class Notes:
    """All that was noted so far. `held_up` is how long at most this process, through which all goes, did not run."""

    mishaps: list[Mishap] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    held_up: timedelta = timedelta(0)

    def absent(self, replica: str, at: datetime, back: datetime | None = None, *, frozen: bool = True) -> None:
        self.absences.append(Absence(replica=replica, at=at, back=back, frozen=frozen))

    def out(self, at: datetime, back: datetime) -> None:
        self.outages.append(Outage(at=at, back=back))

    async def watch(self) -> None:
        """Measure how long this process does not get to run, on a machine that has other work."""
        while True:
            due = anyio.current_time() + _PULSE
            await anyio.sleep(_PULSE)
            self.held_up = max(self.held_up, timedelta(seconds=anyio.current_time() - due))

    def spans(self, replica: str) -> Sequence[tuple[datetime, datetime]]:
        """Return the times in which this replica was held up, by its own troubles or by the servers'."""
        own = [(one.at, one.back or one.at) for one in self.absences if one.replica == replica]
        return own + [(one.at, one.back) for one in self.outages]

    def excused(self, recovery: timedelta) -> Sequence[tuple[datetime, datetime]]:
        """Return the times in which a run may be late, without those that lie in another."""
        spans = [(one.at, one.at + recovery) for one in self.absences]
        spans += [(one.at, one.back + recovery) for one in self.outages]
        joined: list[tuple[datetime, datetime]] = []
        for at, back in sorted(spans):
            if joined and at <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(back, joined[-1][1]))
            else:
                joined.append((at, back))
        return joined
