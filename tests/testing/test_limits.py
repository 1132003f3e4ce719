"""Which instants had to run: those whose claim came to nothing, limits, other schedules, a part of the records."""

from datetime import timedelta
from typing import Any

import pytest

from natsched.core.schedules import Cron, Interval, Once
from tests.factories import NOON
from tests.testing.table import Case, Ran, away, dead, job, left

R1, R2, R3 = Ran(n=1, due=10), Ran(n=2, due=20), Ran(n=3, due=30)
TRACELESS = (job(delivery="at_most_once", overlap="allow"),)
LONG = Ran(n=1, due=10, lasts=30)
ALL: dict[str, Any] = {"overlap": "allow", "catch_up": "all"}

CASES = (
    # Claimed and never begun
    Case(
        name="lost with its replica",
        jobs=(job(delivery="at_most_once"),),
        ran=(R1,),
        left=(left(2, 20, 20, "lost", 24, attempt=1),),
        dead=(dead(19.95),),
    ),
    Case(
        name="lost without a death",
        jobs=(job(delivery="at_most_once"),),
        ran=(R1,),
        left=(left(2, 20, 20, "lost", 24, attempt=1),),
        finds=("lost 20",),
    ),
    Case(name="cancelled before it began", ran=(R1,), left=(left(2, 20, 20, "cancelled", 20, attempt=1),)),
    Case(
        name="an end that is none", ran=(R1,), left=(left(2, 20, 20, "retrying", 20, attempt=1),), finds=("lost 20",)
    ),
    # Limits and other schedules
    Case(name="its runs are used up", jobs=(job(schedule=Interval(seconds=10, max_runs=1)),), ran=(R1,)),
    Case(
        name="its window is over",
        jobs=(job(schedule=Interval(seconds=10, end_at=NOON + timedelta(seconds=19))),),
        ran=(R1,),
    ),
    Case(
        name="its runs are not used up",
        jobs=(job(schedule=Interval(seconds=10, max_runs=2)),),
        ran=(R1,),
        finds=("lost 20",),
    ),
    Case(
        name="used up by one that was lost",
        jobs=(job(schedule=Interval(seconds=10, max_runs=1)),),
        left=(left(1, 10, 10, "lost", 12, attempt=1),),
        dead=(dead(10),),
    ),
    Case(
        name="nobody knows how many there were before",
        jobs=(job(schedule=Interval(seconds=10, max_runs=2)),),
        since=15,
    ),
    Case(name="cron", jobs=(job(schedule=Cron("*/10 * * * * *")),), ran=(R1,), finds=("lost 20",)),
    Case(name="once", jobs=(job(schedule=Once(NOON + timedelta(seconds=20))),), finds=("lost 20",)),
    # What records do not tell
    Case(name="only failures are kept", jobs=(job(history="failures"),), recorded=True),
    Case(
        name="only failures are kept, but all is told", jobs=(job(history="failures"),), ran=(R1,), finds=("lost 20",)
    ),
    Case(name="a claim that leaves no trace", jobs=TRACELESS, ran=(R1,), finds=("lost 20",)),
    Case(
        name="a claim that leaves no trace, of one that died",
        jobs=TRACELESS,
        ran=(R1, R3),
        dead=(dead(20),),
        until=35,
    ),
    Case(
        name="a claim that leaves no trace, in an outage",
        jobs=TRACELESS,
        ran=(R1, R3),
        away=(away(20, 25),),
        until=35,
    ),
    Case(
        name="a claim that leaves no trace, long after a death",
        jobs=TRACELESS,
        ran=(R1, R3),
        dead=(dead(5),),
        until=35,
        finds=("lost 20",),
    ),
    Case(name="nothing is kept", jobs=(job(delivery="at_most_once", overlap="allow"),), recorded=True),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found(case: Case) -> None:
    assert case.found() == sorted(case.finds)
