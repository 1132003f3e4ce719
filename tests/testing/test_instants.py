"""Which instants had to run, whatever changed meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

from natsched.core.schedules import Interval
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
    Case(
        name="removed before it could run, in silence",
        jobs=(job(**ALL), gone(34)),
        away=(away(5, 33),),
        until=60,
        finds=("silent 10", "silent 20", "silent 30"),
    ),
    Case(name="an instant right after a creation may be planned or not", jobs=(job(took=9.95),), ran=(R2,)),
    Case(
        name="one that a dead replica may hold is not owed yet",
        jobs=(job(**ALL),),
        ran=(R2,),
        dead=(dead(9.95),),
        until=20.5,
    ),
    Case(
        name="for all to be made up for some wait",
        jobs=(job(overlap="queue", catch_up="all"),),
        ran=(Ran(n=1, due=10, lasts=25), Ran(n=2, due=30, at=35)),
        until=38,
        finds=("lost 20",),
    ),
    Case(
        name="all are made up for until their deadline",
        jobs=(job(**ALL, deadline=6),),
        away=(away(5, 33),),
        until=45,
        finds=tuple(f"silent {n}" for n in (10, 20, 30, 40)),
    ),
    Case(
        name="all are made up for within a window",
        jobs=(job(**ALL, catch_up_window=6),),
        away=(away(5, 33),),
        until=45,
        finds=tuple(f"silent {n}" for n in (10, 20, 30, 40)),
    ),
    Case(
        name="all are made up for up to a limit",
        jobs=(job(**ALL, catch_up_limit=2),),
        away=(away(5, 33),),
        until=45,
        finds=("lost 30", "lost 40", "silent 10", "silent 20"),
    ),
    # Pauses
    Case(
        name="a pause that was ended, in silence",
        jobs=(job(), job(5, generation=2, active=False), job(15, generation=3)),
        until=19,
        finds=("silent 10",),
    ),
    Case(
        name="a pause that ended with the job, in silence",
        jobs=(job(), job(5, generation=2, active=False), gone(15)),
        until=19,
        finds=("silent 10",),
    ),
    Case(
        name="a pause that ended by itself, in silence",
        jobs=(job(), job(5, generation=2, active=False, paused_until=NOON + timedelta(seconds=15))),
        until=30,
        finds=("lost 20", "silent 10"),
    ),
    Case(
        name="a pause that ended by itself when there was nothing more to come",
        jobs=(
            job(),
            job(
                5,
                generation=2,
                active=False,
                paused_until=NOON + timedelta(seconds=15),
                schedule=Interval(seconds=10, end_at=NOON + timedelta(seconds=19)),
            ),
        ),
        until=60,
    ),
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
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found(case: Case) -> None:
    assert case.found() == sorted(case.finds)
