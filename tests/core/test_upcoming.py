"""The instants to come and what is said of the clocks there."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from natsched.core import changes
from natsched.core.jobs import JobId
from natsched.core.schedules import Cron, Interval, Schedule
from natsched.core.specs import make_spec
from natsched.core.upcoming import Upcoming, upcoming


def shown(schedule: Schedule, after: datetime, number: int) -> list[tuple[str, str | None]]:
    return [(f"{one.due:%d.%m. %H:%M %z}", one.note) for one in _upcoming(schedule, after, number)]


def _upcoming(schedule: Schedule, after: datetime, number: int) -> list[Upcoming]:
    job = changes.create(JobId("a"), "U", make_spec(schedule, anchor=after), after)
    return list(islice(upcoming(job), number))


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        (
            Cron("30 2 * * *", timezone="Europe/Berlin"),
            datetime(2026, 3, 27, 12, tzinfo=UTC),
            [
                ("28.03. 02:30 +0100", None),
                ("29.03. 03:00 +0200", "clocks go from 02:00 to 03:00"),
                ("30.03. 02:30 +0200", None),
            ],
        ),
        (
            Cron("30 2 * * *", timezone="Europe/Berlin"),
            datetime(2026, 10, 23, 12, tzinfo=UTC),
            [
                ("24.10. 02:30 +0200", None),
                ("25.10. 02:30 +0200", "the first of two 02:30: clocks go back"),
                ("26.10. 02:30 +0100", "clocks have gone back: UTC+2 to UTC+1"),
            ],
        ),
        (
            Cron("30 * * * *", timezone="Europe/Berlin"),
            datetime(2026, 10, 24, 23, 59, tzinfo=UTC),
            [
                ("25.10. 02:30 +0200", "the first of two 02:30: clocks go back"),
                ("25.10. 02:30 +0100", "the second 02:30: clocks went back"),
                ("25.10. 03:30 +0100", None),
            ],
        ),
        (
            Cron("0 12 * * *", timezone="Australia/Lord_Howe"),
            datetime(2026, 10, 3, 0, tzinfo=UTC),
            [
                ("03.10. 12:00 +1030", None),
                ("04.10. 12:00 +1100", "clocks have gone forward: UTC+10:30 to UTC+11"),
            ],
        ),
        (Interval(hours=1), datetime(2026, 10, 25, tzinfo=UTC), [("25.10. 01:00 +0000", None)]),
    ],
)
def test_what_is_said_of_the_clocks(
    schedule: Schedule, after: datetime, expected: list[tuple[str, str | None]]
) -> None:
    assert shown(schedule, after, len(expected)) == expected


def test_no_more_than_the_job_may_still_run_and_one_of_a_fixed_delay() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert len(_upcoming(Interval(seconds=1, max_runs=3), noon, 10)) == 3
    assert len(_upcoming(Interval(seconds=1, fixed_delay=True), noon, 10)) == 1


def test_the_start_is_later_by_the_jitter() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    found = _upcoming(Interval(hours=1, jitter=60), noon, 20)
    assert all(timedelta(0) <= one.start - one.due <= timedelta(seconds=60) for one in found)
    assert any(one.start > one.due for one in found)


def test_a_paused_job_has_none() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    job = changes.create(JobId("a"), "U", make_spec(Interval(hours=1), anchor=noon), noon)
    paused = changes.pause(job, noon, None)
    assert paused is not None
    assert list(upcoming(paused.job)) == []
