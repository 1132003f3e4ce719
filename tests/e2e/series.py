"""Jobs of which one knows in advance when they are due."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from natsched import Client, Interval, Record, Unavailable
from natsched.core.specs import JobOptions
from tests.e2e.journal import Journal
from tests.e2e.processes import until

ALL = 100_000


def soon(seconds: float) -> datetime:
    """Return an instant of whole milliseconds, so far from now."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Jobs below a prefix that are due `number` times each, every `period` seconds, with their phases spread.

    They make up for all that an outage left behind.
    """

    prefix: str
    jobs: int
    period: float
    number: int
    first: datetime = field(default_factory=lambda: soon(1.5))
    lasts: float = 0.0
    options: JobOptions = field(default_factory=JobOptions)

    @property
    def last(self) -> datetime:
        """The last instant of all."""
        return max(instants[-1] for instants in self.dues().values())

    def dues(self) -> dict[str, list[datetime]]:
        """Return the instants of each job."""
        period = timedelta(seconds=self.period)
        dues: dict[str, list[datetime]] = {}
        for index in range(self.jobs):
            start = self.first + timedelta(milliseconds=int(1000 * self.period * index / self.jobs))
            dues[f"{self.prefix}.{index}"] = [start + period * turn for turn in range(self.number)]
        return dues

    async def ensure(self, client: Client) -> None:
        """Create the jobs, before the first of them is due."""
        await client.ensure_jobs([self._item(job, instants) for job, instants in self.dues().items()])
        assert datetime.now(UTC) < self.first, "this machine is too slow for this test"

    async def done(self, client: Client, limit: float) -> None:
        """Wait until all are complete; the time limit is in seconds from the last instant on."""

        async def complete() -> bool:
            try:
                page = await client.list_jobs(self.prefix, limit=self.jobs)
            except Unavailable:  # while a leader is elected
                return False
            return len(page.jobs) == self.jobs and all(job.state == "completed" for job in page.jobs)

        left = (self.last - datetime.now(UTC)).total_seconds() + limit
        await until(complete, f"all of {self.prefix} are completed", left, probe=0.2)

    async def left_out(self, client: Client, journal: Journal) -> dict[str, list[Record]]:
        """Return the records of what did not run, by job; an instant that has neither run nor record is lost."""
        records: dict[str, list[Record]] = {}
        for record in await client.executions(limit=ALL, missed=True):
            records.setdefault(record.job, []).append(record)
        lost = [
            (job, due)
            for job, due in journal.missing(self.dues())
            if not any(_tells_of(record, due) for record in records.get(job, ()))
        ]
        assert not lost, f"{len(lost)} instants are lost, such as {lost[:5]}"
        return {job: told for job, told in records.items() if job.startswith(self.prefix)}

    def _item(self, job: str, instants: Sequence[datetime]) -> dict[str, Any]:
        schedule = Interval(timedelta(seconds=self.period), start_at=instants[0], end_at=instants[-1])
        return {
            "id": job,
            "schedule": schedule,
            "handler": "work",
            "payload": {"lasts": self.lasts},
            "catch_up": "all",
            **self.options,
        }


def _tells_of(record: Record, due: datetime) -> bool:
    return (record.first or record.due) <= due <= (record.last or record.due)
