"""The jobs that run meanwhile: periods from half a second to thirty, all policies, runs that take their time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from natsched.core.schedules import Cron, Interval, Once, Schedule
from natsched.core.specs import JobOptions

PERIODS: Final = (0.5, 1, 2, 3, 5, 5, 7, 7, 10, 10, 10, 15, 15, 20, 20, 30, 30, 30)
CRONS: Final = ("*/2 * * * * *", "*/3 * * * * *", "*/5 * * * * *", "*/10 * * * * *", "0/20 * * * * *")

SCRIPT: Final = """
say() {
  printf '{"what":"%s","at":%s,"job":"%s","execution":"%s","attempt":%s,"due":"%s","pid":%s,"version":%s}\\n' \
    "$1" "$(date +%s.%N)" "$NATSCHED_JOB" "$NATSCHED_EXECUTION" "$NATSCHED_ATTEMPT" "$NATSCHED_DUE" "$PPID" \
    "$VERSION" >> "$JOURNAL"
}
trap 'say cancelled; exit 1' TERM
say begin
sleep "$LASTS" & wait $!
say end
"""
"""What a command does: the same as the handlers. Its `date` is the machine's, whatever its replica believes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a client asks for."""

    schedule: Schedule
    options: JobOptions


@dataclass(frozen=True, slots=True)
class Jobs:
    """Draws definitions; commands write into `folder`, or there are none."""

    random: Random
    folder: Path | None

    def draw(self, version: int) -> Definition:
        """Draw any definition; the version is in its metadata and so in the journal."""
        choice = self.random.choice
        schedule, period = self._schedule()
        lasts = self._lasts(period)
        drawn: dict[str, Any] = {
            "metadata": {"version": version},
            "overlap": choice(("skip", "skip", "skip", "queue", "replace", "allow", "allow")),
            "catch_up": choice(("latest", "latest", "earliest", "none", "all", "all")),
            "catch_up_limit": 1000,
            "delivery": choice(("at_least_once",) * 4 + ("at_most_once",)),
            "max_crashes": 50,
        }
        fails = 0
        if drawn["catch_up"] == "none":
            drawn["tolerance"] = choice((1.0, 5.0))
        if drawn["delivery"] == "at_least_once" and self.random.random() < 0.25:
            fails = choice((1, 1, 2, 9))
            drawn["retry"] = {"max_attempts": 3, "base": 0.3}
        if self.random.random() < 0.1:
            drawn["max_concurrency"] = 2
        if schedule.jitter is None and self.random.random() < 0.05:
            drawn["deadline"] = choice((4.0, 20.0))
        self._work(drawn, version, lasts, fails)
        return Definition(schedule=schedule, options=JobOptions(**drawn))  # type: ignore[typeddict-item]

    def _schedule(self) -> tuple[Schedule, float]:
        random = self.random
        period = float(random.choice(PERIODS))
        kind = random.random()
        if kind < 0.2:
            return Cron(random.choice(CRONS)), 2.0
        if kind < 0.25:
            at = datetime.now(UTC) + timedelta(seconds=random.uniform(0.5, 30))
            return Once(at.replace(microsecond=0)), 5.0
        if kind < 0.32:
            return Interval(timedelta(seconds=period), fixed_delay=True), period
        if kind < 0.42 and period >= 2:
            return Interval(timedelta(seconds=period), jitter=timedelta(seconds=period / 4)), period
        return Interval(timedelta(seconds=period)), period

    def _lasts(self, period: float) -> float:
        """Most runs are over long before the next, some are not."""
        share = self.random.choice((0.0, 0.0, 0.05, 0.1, 0.3, 0.3, 1.5))
        return round(min(share * period, 12.0), 3)

    def _work(self, drawn: dict[str, Any], version: int, lasts: float, fails: int) -> None:
        kind = self.random.random()
        if kind < 0.03 and self.folder is not None and not fails:
            env = {"LASTS": str(lasts), "VERSION": str(version), "JOURNAL": str(self.folder / "shell.journal")}
            drawn["target"] = {"kind": "shell", "argv": ("sh", "-c", SCRIPT), "env": env}
            return
        thread = kind < 0.1 and drawn["overlap"] == "allow" and "max_concurrency" not in drawn and lasts < 2
        drawn |= {"handler": "thread" if thread else "work", "payload": {"lasts": lasts, "fails": fails}}
