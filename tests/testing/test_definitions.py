"""Which runs break a promise: by an old definition or none, without an end, or out of a chain of delays."""

from datetime import timedelta

import pytest

from natsched.core.executions import ExecutionStatus as S
from natsched.core.schedules import Interval
from natsched.testing import Bounds
from tests.factories import NOON
from tests.testing.table import Case, Ran, dead, gone, job, left

R1, R2 = Ran(n=1, due=10), Ran(n=2, due=20)
CLOCKS = Bounds(clocks=timedelta(seconds=0.5))
ALLOW = (job(overlap="allow"),)
ONCE = (job(delivery="at_most_once"),)
KEYS = (job(concurrency_key="db"), job(name="b", uid="B", concurrency_key="db", schedule=Interval(hours=1)))
DELAYED = Interval(seconds=10, fixed_delay=True)
DELAY = (job(schedule=DELAYED),)
FIRST = Ran(n=1, due=10, lasts=3)


def again(at: float, attempt: int = 2, lasts: float | None = 1) -> Ran:
    return Ran(n=1, due=10, at=at, attempt=attempt, replica="r2", lasts=lasts)


def ended(status: S, retry_at: float | None = None) -> Ran:
    return Ran(n=1, due=10, status=status, retry_at=retry_at)


CASES = (
    # Outdated and unplanned
    Case(
        name="tried again by a new definition",
        jobs=(job(), job(11.5, generation=2, schedule=Interval(seconds=30))),
        ran=(ended(S.RETRYING, 12), Ran(n=1, due=10, at=12, attempt=2, generation=2)),
    ),
    Case(
        name="of a definition that was still to come",
        jobs=(job(9, schedule=Interval(seconds=10, start_at=NOON)),),
        ran=(Ran(n=0, due=0), R1, R2),
        finds=("unplanned 0",),
    ),
    Case(name="after its removal", jobs=(job(), gone(15)), ran=(R1, R2), finds=("outdated 20",)),
    Case(name="in its removal", jobs=(job(), gone(19.5, took=1)), ran=(R1, R2)),
    Case(name="claimed before its removal", jobs=(job(), gone(19.95)), ran=(R1, R2)),
    Case(name="claimed long before its removal", jobs=(job(), gone(15)), ran=(R1, Ran(n=2, due=20, claimed=14))),
    Case(
        name="claimed just after its removal",
        jobs=(job(), gone(19.95)),
        ran=(R1, Ran(n=2, due=20, claimed=19.96)),
        finds=("outdated 20",),
    ),
    Case(
        name="by hand after its removal",
        jobs=(job(), gone(15)),
        ran=(R1, Ran(n="m1", due=16)),
        finds=("outdated 16",),
    ),
    Case(name="in a pause", jobs=(job(), job(15, generation=2, active=False)), ran=(R1, R2), finds=("outdated 20",)),
    Case(name="by hand in a pause", jobs=(job(), job(15, generation=2, active=False)), ran=(R1, Ran(n="m1", due=20))),
    Case(
        name="tried again in a pause",
        jobs=(job(), job(15, generation=2, active=False)),
        ran=(ended(S.RETRYING, 16), again(16)),
        finds=("outdated 10",),
    ),
    Case(
        name="of an old schedule",
        jobs=(job(), job(15, generation=2, schedule=Interval(seconds=25))),
        ran=(R1, R2, Ran(n=3, due=25)),
        until=27,
        finds=("outdated 20",),
    ),
    Case(
        name="of an old definition with this schedule",
        jobs=(job(), job(15, generation=2, handler="new")),
        ran=(R1, Ran(n=2, due=20, generation=1)),
        finds=("outdated 20",),
    ),
    Case(
        name="of the definition that is",
        jobs=(job(), job(15, generation=2, handler="new")),
        ran=(R1, Ran(n=2, due=20, generation=2)),
    ),
    Case(name="of no schedule", ran=(R1, Ran(n=9, due=13), R2), finds=("unplanned 13",)),
    Case(name="before its creation", jobs=(job(9),), ran=(Ran(n=0, due=0), R1, R2), finds=("unplanned 0",)),
    Case(
        name="one too many",
        jobs=(job(schedule=Interval(seconds=10, max_runs=1)),),
        ran=(R1, R2),
        finds=("unplanned 20",),
    ),
    # Ended for nobody
    Case(
        name="nobody goes on",
        ran=(Ran(n=1, due=10, lasts=None), Ran(n=3, due=30)),
        dead=(dead(11),),
        left=(left(2, 20, 20, "skipped", 20),),
        until=33,
        finds=("silent 10",),
    ),
    Case(name="it may go on", ran=(Ran(n=1, due=10, lasts=None),), left=(left(2, 20, 20, "skipped", 20),)),
    Case(
        name="another attempt is due",
        jobs=(job(overlap="allow"),),
        ran=(ended(S.RETRYING, 12), R2),
        until=24,
        finds=("silent 10",),
    ),
    Case(name="another attempt is not due", ran=(ended(S.RETRYING, 20), R2)),
    Case(name="its end is recorded", ran=(ended(S.RETRYING, 12), R2), left=(left(1, 10, 10, "dead", 14, attempt=2),)),
    Case(name="it was removed", jobs=(job(), gone(11.5)), ran=(ended(S.RETRYING, 12),)),
    Case(name="it was paused", jobs=(job(), job(11.5, generation=2, active=False)), ran=(ended(S.RETRYING, 12),)),
    Case(
        name="nobody goes on after a hand-back",
        jobs=ALLOW,
        ran=(ended(S.INTERRUPTED), R2),
        until=24,
        finds=("silent 10",),
    ),
    Case(
        name="it is not kept",
        jobs=(job(history="failures"),),
        ran=(ended(S.RETRYING, 12), R2),
        until=24,
        recorded=True,
    ),
    Case(
        name="it leaves no trace",
        jobs=(job(overlap="allow", delivery="at_most_once"),),
        ran=(Ran(n=1, due=10, lasts=None), R2, Ran(n=3, due=30)),
        dead=(dead(11),),
        until=33,
    ),
    Case(
        name="what was asked for goes on in a pause",
        jobs=(job(overlap="allow"), job(15, generation=2, overlap="allow", active=False)),
        ran=(Ran(n="m1", due=5, status=S.RETRYING, retry_at=12), R1),
        until=30,
        finds=("silent 5",),
    ),
    # Fixed delay
    Case(name="a link after a death", jobs=DELAY, ran=(FIRST, Ran(n=2, due=30)), dead=(dead(13.2),), until=33),
    Case(
        name="a link beside one",
        jobs=DELAY,
        ran=(Ran(n=1, due=10, lasts=None), Ran(n=2, due=23)),
        finds=("overlapping 23",),
    ),
    Case(
        name="a chain that is not kept",
        jobs=(job(schedule=Interval(seconds=10, fixed_delay=True), history="failures"),),
        recorded=True,
    ),
    Case(
        name="a chain that was changed in a run",
        jobs=(*DELAY, job(12, generation=2, schedule=DELAYED)),
        ran=(FIRST,),
        until=22,
    ),
    Case(
        name="a chain that was changed in a run and ends",
        jobs=(*DELAY, job(12, generation=2, schedule=DELAYED)),
        ran=(FIRST,),
        until=24.5,
        finds=("lost 23",),
    ),
    Case(name="a chain", jobs=DELAY, ran=(FIRST, Ran(n=2, due=23))),
    Case(name="a link too soon", jobs=DELAY, ran=(FIRST, Ran(n=2, due=20)), finds=("early 20",)),
    Case(name="a link too late", jobs=DELAY, ran=(FIRST, Ran(n=2, due=25)), until=27, finds=("late 25",)),
    Case(name="the chain ends", jobs=DELAY, ran=(FIRST,), finds=("lost 23",), until=24.5),
    Case(name="the chain goes on later", jobs=DELAY, ran=(FIRST,), until=23.5),
    Case(name="the chain never begins", jobs=DELAY, finds=("lost 10",), until=12),
    Case(name="the chain waits for its run", jobs=DELAY, ran=(Ran(n=1, due=10, lasts=None),), until=60),
    Case(
        name="the chain is used up",
        jobs=(job(schedule=Interval(seconds=10, fixed_delay=True, max_runs=1)),),
        ran=(FIRST,),
        until=60,
    ),
    Case(
        name="the chain is over",
        jobs=(job(schedule=Interval(seconds=10, fixed_delay=True, end_at=NOON + timedelta(seconds=22))),),
        ran=(FIRST,),
        until=60,
    ),
    Case(
        name="a link that was skipped",
        jobs=DELAY,
        ran=(FIRST, Ran(n=3, due=33)),
        left=(left(2, 23, 23, "skipped", 23),),
        until=36,
    ),
    Case(name="a link that was changed", jobs=(*DELAY, job(15, generation=2)), ran=(FIRST, R2)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found(case: Case) -> None:
    assert case.found() == sorted(case.finds)
