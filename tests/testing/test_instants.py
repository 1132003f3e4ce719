"""Which instants had to run, and which records are a reason that they did not."""

from datetime import timedelta
from typing import Any

import pytest

from natsched.core.schedules import Cron, Interval, Once
from natsched.testing import Bounds
from tests.factories import NOON
from tests.testing.table import Case, Ran, away, dead, gone, job, left

R1, R2 = Ran(n=1, due=10), Ran(n=2, due=20)
LONG = Ran(n=1, due=10, lasts=30)
ALL: dict[str, Any] = {"overlap": "allow", "catch_up": "all"}

CASES = (
    Case(name="all ran", ran=(R1, R2)),
    Case(name="one did not", ran=(R1,), finds=("lost 20",)),
    Case(name="what is due at the end may still run", ran=(R1,), until=20.9),
    Case(
        name="nor is that of which the clocks may say so",
        ran=(R1,),
        until=21.4,
        bounds=Bounds(clocks=timedelta(0, 0.5)),
    ),
    Case(name="what was due before it was watched", ran=(R2,), since=15),
    Case(name="one of a job that nobody knows", jobs=()),
    Case(name="jitter puts it off", jobs=(job(schedule=Interval(seconds=10, jitter=10)),), until=10),
    # Changes
    Case(name="an instant in a change may go either way", jobs=(job(), gone(9.5, took=1))),
    Case(name="one before a change may not", jobs=(job(), gone(19, took=1)), finds=("lost 10",)),
    Case(name="one just before may have been claimed by nobody", jobs=(job(), gone(10.05))),
    Case(name="a change that never returned", jobs=(job(), job(5, returns=False, generation=2, active=False))),
    Case(name="a creation that took long", jobs=(job(took=15),), ran=(R2,)),
    Case(name="a creation that never returned", jobs=(job(returns=False),)),
    Case(
        name="changes that raced, by their generations",
        jobs=(job(0, took=9, generation=2), job(0, took=9, schedule=Interval(seconds=5))),
        ran=(R1, R2),
    ),
    Case(
        name="changes that raced, in the order of their calls",
        jobs=(job(0, generation=1), job(0, generation=2, schedule=Interval(seconds=20))),
        ran=(R2,),
    ),
    Case(name="created anew", jobs=(job(), gone(12), job(13, uid="B")), ran=(R1, Ran(n=1, due=20, uid="B"))),
    Case(name="created anew and lost", jobs=(job(), gone(12), job(13, uid="B")), ran=(R1,), finds=("lost 20",)),
    Case(name="removed before it was claimed", jobs=(job(), gone(10.5)), left=(left(1, 10, 10, "superseded", 10.5),)),
    Case(
        name="said to be removed, but was not",
        ran=(R2,),
        left=(left(1, 10, 10, "superseded", 10.5),),
        finds=("lost 10",),
    ),
    Case(
        name="removed too late for that to be why",
        jobs=(job(), gone(15)),
        left=(left(1, 10, 10, "superseded", 15),),
        finds=("lost 10",),
    ),
    Case(
        name="said to be replaced before it was due",
        jobs=(job(), job(9, generation=2)),
        ran=(R2,),
        left=(left(1, 10, 10, "superseded", 9),),
        finds=("lost 10",),
    ),
    # Pauses
    Case(
        name="paused",
        jobs=(job(), job(5, generation=2, active=False), job(15, generation=3)),
        ran=(R2,),
        left=(left("p2", 10, 10, "paused", 15),),
    ),
    Case(
        name="paused, and nobody says so",
        jobs=(job(), job(5, generation=2, active=False), job(15, generation=3)),
        ran=(R2,),
        finds=("silent 10",),
    ),
    Case(name="a pause that lasts is told of later", jobs=(job(), job(5, generation=2, active=False)), until=60),
    Case(
        name="a pause that was prolonged is told of once",
        jobs=(
            job(),
            job(5, generation=2, active=False),
            job(15, generation=3, active=False, paused_until=NOON + timedelta(seconds=900)),
        ),
        until=60,
    ),
    Case(
        name="another schedule in a pause has it told of",
        jobs=(
            job(),
            job(5, generation=2, active=False),
            job(15, generation=3, active=False, schedule=Interval(seconds=11)),
        ),
        until=60,
        finds=("silent 10",),
    ),
    Case(
        name="a pause that ends by itself is told of at the next run",
        jobs=(job(), job(5, generation=2, active=False, paused_until=NOON + timedelta(seconds=15))),
        ran=(R2,),
        until=30,
        finds=("silent 10",),
    ),
    Case(
        name="after a pause that ends by itself it has to run",
        jobs=(job(), job(5, generation=2, active=False, paused_until=NOON + timedelta(seconds=15))),
        left=(left("p2", 10, 10, "paused", 20),),
        until=30,
        finds=("lost 20",),
    ),
    Case(name="not paused", ran=(R2,), left=(left(1, 10, 10, "paused", 10),), finds=("lost 10",)),
    Case(
        name="paused by itself",
        jobs=(job(auto_pause_after=1),),
        ran=(R2,),
        left=(left(1, 10, 10, "paused", 10),),
    ),
    # Overlap
    Case(name="skipped", ran=(LONG,), left=(left(2, 20, 20, "skipped", 20),)),
    Case(name="skipped in silence", ran=(LONG,), finds=("silent 20",)),
    Case(name="skipped for no run", ran=(R1,), left=(left(2, 20, 20, "skipped", 20),), finds=("lost 20",)),
    Case(
        name="skipped for the last writes of a run",
        ran=(Ran(n=1, due=10, lasts=9.6),),
        left=(left(2, 20, 20, "skipped", 20),),
    ),
    Case(
        name="skipped for one that was about to begin",
        ran=(R1, Ran(n="m1", due=20.05)),
        left=(left(2, 20, 20, "skipped", 20),),
    ),
    Case(
        name="skipped for a run of a replica that died",
        ran=(Ran(n=1, due=10, lasts=None), Ran(n=1, due=10, at=21, attempt=2, replica="r2")),
        dead=(dead(12),),
        left=(left(2, 20, 20, "skipped", 20),),
    ),
    Case(
        name="skipped with room for another",
        jobs=(job(max_concurrency=2),),
        ran=(LONG,),
        left=(left(2, 20, 20, "skipped", 20),),
        finds=("lost 20",),
    ),
    Case(
        name="skipped with no room for another",
        jobs=(job(max_concurrency=2),),
        ran=(LONG, Ran(n="m1", due=15, lasts=9)),
        left=(left(2, 20, 20, "skipped", 20),),
    ),
    Case(
        name="skipped although it may overlap",
        jobs=(job(overlap="allow"),),
        ran=(LONG,),
        left=(left(2, 20, 20, "skipped", 20),),
        finds=("lost 20",),
    ),
    Case(
        name="skipped although it waits",
        jobs=(job(overlap="queue"),),
        ran=(LONG,),
        left=(left(2, 20, 20, "skipped", 20),),
        finds=("lost 20",),
    ),
    Case(name="it waits", jobs=(job(overlap="queue"),), ran=(LONG,), until=40),
    Case(
        name="of those that wait all but one are told of",
        jobs=(job(overlap="queue"),),
        ran=(Ran(n=1, due=10, lasts=25), Ran(n=2, due=30, at=35)),
        left=(left(2, 20, 20, "coalesced", 35),),
        until=38,
    ),
    Case(
        name="of those that wait one is not told of",
        jobs=(job(overlap="queue"),),
        ran=(Ran(n=1, due=10, lasts=25), Ran(n=2, due=30, at=35)),
        until=38,
        finds=("silent 20",),
    ),
    # Catching up
    Case(
        name="the last of an outage",
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "coalesced", 34, 2),),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="a count that is wrong",
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "coalesced", 34, 1),),
        away=(away(5, 33),),
        until=38,
        finds=("silent 20",),
    ),
    Case(
        name="a count that is a lower bound",
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "coalesced", 34, 1, exact=False),),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="the first of an outage",
        jobs=(job(catch_up="earliest"),),
        ran=(Ran(n=1, due=10, at=34),),
        left=(left(1, 20, 30, "coalesced", 34, 2),),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="coalesced without an outage",
        ran=(R2,),
        left=(left(2, 10, 10, "coalesced", 20),),
        finds=("lost 10",),
    ),
    Case(
        name="coalesced though nothing was late",
        ran=(Ran(n=2, due=20), R1),
        left=(left(2, 30, 30, "coalesced", 30),),
        until=35,
        finds=("lost 30",),
    ),
    Case(
        name="coalesced for a run that never began",
        left=(left(1, 10, 20, "coalesced", 34, 2),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 10", "lost 20"),
    ),
    Case(
        name="coalesced for a run whose replica died before it",
        left=(left(1, 10, 20, "coalesced", 34, 2), left(1, 30, 30, "lost", 36, attempt=1)),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="coalesced though all are made up for",
        jobs=(job(**ALL),),
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "coalesced", 34, 2),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 10", "lost 20"),
    ),
    Case(
        name="after an outage nothing is owed yet",
        away=(away(5, 33),),
        until=43,
    ),
    Case(
        name="after an outage in silence",
        away=(away(5, 33),),
        until=50,
        finds=tuple(f"silent {n}" for n in (10, 20, 30, 40)),
    ),
    Case(
        name="all are made up for",
        jobs=(job(**ALL),),
        away=(away(5, 33),),
        until=50,
        finds=tuple(f"lost {n}" for n in (10, 20, 30, 40)),
    ),
    Case(
        name="up to a limit",
        jobs=(job(**ALL, catch_up_limit=2),),
        ran=(Ran(n=1, due=20, at=34), Ran(n=2, due=30, at=35.5)),
        left=(left(1, 10, 10, "missed", 34),),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="not up to the limit",
        jobs=(job(**ALL, catch_up_limit=3),),
        ran=(Ran(n=1, due=20, at=34), Ran(n=2, due=30, at=35.5)),
        left=(left(1, 10, 10, "missed", 34),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 10",),
    ),
    Case(
        name="too late to be of use",
        jobs=(job(catch_up="none", tolerance=5),),
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "missed", 34, 2),),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="not too late to be of use",
        jobs=(job(catch_up="none", tolerance=25),),
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "missed", 34, 2),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 10", "lost 20"),
    ),
    Case(
        name="older than its window",
        jobs=(job(catch_up_window=10),),
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "missed", 34, 2),),
        away=(away(5, 33),),
        until=38,
    ),
    Case(
        name="not older than its window",
        jobs=(job(catch_up_window=15),),
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "missed", 34, 2),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 20",),
    ),
    Case(
        name="missed by a job that makes up for the last",
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "missed", 34, 2),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 10", "lost 20"),
    ),
    Case(
        name="its deadline passed",
        jobs=(job(deadline=6),),
        ran=(R1,),
        left=(left(2, 20, 20, "expired", 27),),
        away=(away(15, 27),),
        until=28,
    ),
    Case(
        name="its deadline had not passed",
        jobs=(job(deadline=8),),
        ran=(R1,),
        left=(left(2, 20, 20, "expired", 27),),
        away=(away(15, 27),),
        until=28,
        finds=("lost 20",),
    ),
    Case(
        name="it has no deadline",
        ran=(R1,),
        left=(left(2, 20, 20, "expired", 27),),
        away=(away(15, 27),),
        until=28,
        finds=("lost 20",),
    ),
    Case(
        name="its deadline passed while nothing was away",
        jobs=(job(deadline=6),),
        ran=(R1,),
        left=(left(2, 20, 20, "expired", 27),),
        until=28,
        finds=("lost 20",),
    ),
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
    Case(name="nothing is kept", jobs=(job(delivery="at_most_once", overlap="allow"),), recorded=True),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found(case: Case) -> None:
    assert case.found() == sorted(case.finds)
