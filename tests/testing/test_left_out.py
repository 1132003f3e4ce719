"""Which records of runs that did not happen are a reason, by the policies of their job."""

from typing import Any

import pytest

from tests.testing.table import Case, Ran, away, dead, job, left

R1, R2 = Ran(n=1, due=10), Ran(n=2, due=20)
LONG = Ran(n=1, due=10, lasts=30)
ALL: dict[str, Any] = {"overlap": "allow", "catch_up": "all"}

CASES = (
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
        ran=(Ran(n=1, due=10, lasts=25), Ran(n=2, due=30, at=35, lasts=30)),
        until=38,
        finds=("silent 20",),
    ),
    Case(
        name="skipped by one of two definitions that may have been in force",
        jobs=(job(overlap="allow"), job(19.95, took=0.1, generation=2)),
        ran=(LONG,),
        left=(left(2, 20, 20, "skipped", 20),),
    ),
    Case(
        name="skipped for one that a dead replica had claimed",
        ran=(R1,),
        left=(left(2, 20, 20, "skipped", 20),),
        dead=(dead(18),),
    ),
    # Catching up
    Case(
        name="coalesced before it was late",
        ran=(Ran(n=2, due=20),),
        left=(left(2, 10, 10, "coalesced", 10.5),),
        finds=("lost 10",),
    ),
    Case(
        name="coalesced as it waited",
        jobs=(job(overlap="queue"),),
        ran=(Ran(n=2, due=20),),
        left=(left(2, 10, 10, "coalesced", 10.5),),
    ),
    Case(
        name="coalesced out of its tolerance",
        jobs=(job(catch_up="none", tolerance=0.2),),
        ran=(Ran(n=2, due=20),),
        left=(left(2, 10, 10, "coalesced", 10.5),),
    ),
    Case(
        name="missed beyond a limit that is none of its",
        jobs=(job(catch_up_limit=1),),
        ran=(Ran(n=1, due=30, at=34),),
        left=(left(1, 10, 20, "missed", 34, 2),),
        away=(away(5, 33),),
        until=38,
        finds=("lost 10", "lost 20"),
    ),
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
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found(case: Case) -> None:
    assert case.found() == sorted(case.finds)
