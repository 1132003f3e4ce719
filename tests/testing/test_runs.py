"""Which runs break a promise: again, early, late, or beside others."""

from datetime import timedelta

import pytest

from natsched.core.executions import ExecutionStatus as S
from natsched.core.schedules import Interval
from natsched.testing import Bounds
from tests.testing.table import Case, Ran, away, dead, job, left

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
    # Doubled
    Case(name="two executions", jobs=ALLOW, ran=(R1, Ran(n=7, due=10), R2), finds=("doubled 10",)),
    Case(name="one by hand beside it", jobs=ALLOW, ran=(R1, Ran(n="m1", due=10), R2)),
    Case(name="a part for each replica", jobs=(job(scope="all"),), ran=(R1, Ran(n="1-2", due=10, replica="r2"), R2)),
    Case(
        name="two parts for one", jobs=(job(scope="all"),), ran=(R1, Ran(n="1-2", due=10), R2), finds=("doubled 10",)
    ),
    Case(
        name="parts of a job that has none",
        jobs=ALLOW,
        ran=(R1, Ran(n="1-2", due=10, replica="r2"), R2),
        finds=("doubled 10",),
    ),
    Case(name="again after it went well", ran=(R1, again(12), R2), finds=("doubled 10",)),
    Case(name="again after it failed", ran=(ended(S.FAILED), again(12), R2)),
    Case(name="again after it was retried", ran=(ended(S.RETRYING, 12), again(12), R2)),
    Case(name="again after a hand-back", ran=(ended(S.INTERRUPTED), again(12), R2)),
    Case(name="again with the number it had", ran=(ended(S.FAILED), again(12, 1), R2), finds=("doubled 10",)),
    Case(name="again after a death", ran=(Ran(n=1, due=10, lasts=None), again(16), R2), dead=(dead(11),)),
    Case(
        name="again without a death", ran=(Ran(n=1, due=10, lasts=None), again(16)), finds=("doubled 10",), until=20
    ),
    Case(
        name="again before the death",
        ran=(Ran(n=1, due=10, lasts=None), again(16)),
        dead=(dead(17),),
        finds=("doubled 10",),
        until=20,
    ),
    Case(name="again after another's death", ran=(R1, again(16), R2), dead=(dead(11, "r3"),), finds=("doubled 10",)),
    Case(name="again after a death in the last writes", ran=(R1, again(16), R2), dead=(dead(11.4),)),
    Case(
        name="again after a death that is none of its",
        ran=(R1, again(16), R2),
        dead=(dead(12),),
        finds=("doubled 10",),
    ),
    Case(
        name="again after a death before it", ran=(R1, again(16), R2), dead=(dead(5, back=8),), finds=("doubled 10",)
    ),
    Case(name="again after the server was away", ran=(R1, again(16), R2), away=(away(10.5, 14),)),
    Case(
        name="again after the server was away later",
        ran=(R1, again(16), R2),
        away=(away(12, 14),),
        finds=("doubled 10",),
    ),
    Case(
        name="never again",
        jobs=ONCE,
        ran=(Ran(n=1, due=10, lasts=None), again(16), R2),
        dead=(dead(11),),
        finds=("doubled 10",),
    ),
    Case(name="never again unless by hand", jobs=ONCE, ran=(ended(S.LOST), again(16), R2)),
    Case(
        name="again after a death that another clock has later",
        ran=(Ran(n=1, due=10, lasts=None), again(16), R2),
        dead=(dead(16.3),),
        bounds=CLOCKS,
    ),
    Case(
        name="two executions of a job that every replica runs",
        jobs=(job(scope="all", overlap="allow"),),
        ran=(R1, Ran(n=7, due=10, replica="r2"), R2),
        finds=("doubled 10",),
    ),
    # Early and late
    Case(
        name="by hand there is no jitter",
        jobs=(job(schedule=Interval(seconds=10, jitter=10)),),
        ran=(Ran(n="m1", due=10),),
        until=10,
    ),
    Case(name="early", ran=(Ran(n=1, due=10, at=9.99), R2), finds=("early 10",)),
    Case(name="early by less than two readings differ", ran=(Ran(n=1, due=10, at=9.996), R2)),
    Case(name="early by less than the clocks differ", ran=(Ran(n=1, due=10, at=9.6), R2), bounds=CLOCKS),
    Case(name="early by hand", ran=(R1, R2, Ran(n="m1", due=15, at=14)), finds=("early 15",)),
    Case(
        name="before its jitter is over",
        jobs=(job(schedule=Interval(seconds=10, jitter=10), uid="A"),),
        ran=(R1,),
        until=12,
        finds=("early 10",),
    ),
    Case(name="late", ran=(Ran(n=1, due=10, at=11.1), R2), finds=("late 10",)),
    Case(name="late by less than the bound", ran=(Ran(n=1, due=10, at=11), R2)),
    Case(name="late by less than the clocks differ", ran=(Ran(n=1, due=10, at=11.4), R2), bounds=CLOCKS),
    Case(name="late after a death", ran=(Ran(n=1, due=10, at=19.5, lasts=0.3), R2), dead=(dead(9.5, "r3"),)),
    Case(
        name="later than a death excuses",
        ran=(Ran(n=1, due=10, at=19.5, lasts=0.3), R2),
        dead=(dead(8, "r3"),),
        finds=("late 10",),
    ),
    Case(name="late after an outage", ran=(Ran(n=1, due=10, at=19.5, lasts=0.3), R2), away=(away(9, 12),)),
    Case(name="late by hand", ran=(R1, R2, Ran(n="m1", due=15, at=17)), finds=("late 15",)),
    Case(name="by hand after another", ran=(Ran(n=1, due=10, lasts=7), R2, Ran(n="m1", due=15, at=17.2))),
    Case(name="a backfill takes its time", ran=(R1, R2, Ran(n="b20260101T110000000000Z", due=-3600, at=15))),
    Case(
        name="late behind a run is skipped",
        ran=(Ran(n=1, due=10, lasts=12), Ran(n=2, due=20, at=22.1)),
        finds=("late 20",),
    ),
    Case(
        name="late behind a run",
        jobs=(job(overlap="queue"),),
        ran=(Ran(n=1, due=10, lasts=12), Ran(n=2, due=20, at=22.1)),
    ),
    Case(
        name="late behind one of its key",
        jobs=KEYS,
        ran=(Ran(n="m1", due=5, lasts=14, job="b", uid="B"), Ran(n=1, due=10, at=19.2, lasts=0.5), R2),
    ),
    Case(
        name="late behind one of another key",
        jobs=(*KEYS[:1], job(name="b", uid="B", schedule=Interval(hours=1))),
        ran=(Ran(n="m1", due=5, lasts=14, job="b", uid="B"), Ran(n=1, due=10, at=19.2, lasts=0.5), R2),
        finds=("late 10",),
    ),
    Case(name="a second attempt of before", ran=(Ran(n=1, due=10, at=17, attempt=2), R2), since=15),
    Case(name="late before it was watched", ran=(Ran(n=1, due=10, at=12), R2), since=15),
    Case(name="late since it was watched", ran=(Ran(n=1, due=10, at=12), R2), since=5, finds=("late 10",)),
    Case(
        name="late by hand, whatever the jitter",
        jobs=(job(schedule=Interval(seconds=10, jitter=10)),),
        ran=(Ran(n="m1", due=10, at=11.05),),
        until=10,
        finds=("late 10",),
    ),
    Case(
        name="behind another run of its job with its key",
        jobs=(job(overlap="allow", concurrency_key="db"),),
        ran=(Ran(n=1, due=10, lasts=7), Ran(n="m1", due=12, at=17.5), R2),
    ),
    Case(
        name="behind a run of the key that it was given",
        jobs=(job(), job(5, generation=2, concurrency_key="db"), KEYS[1]),
        ran=(Ran(n="m1", due=9.5, job="b", uid="B", lasts=7), Ran(n=1, due=10, at=17), R2),
    ),
    Case(
        name="late, with another run of its job",
        jobs=(job(overlap="allow"),),
        ran=(Ran(n=1, due=10, lasts=7), Ran(n="m1", due=12, at=17.5), R2),
        finds=("late 12",),
    ),
    Case(
        name="asked for again after it was lost before it began",
        jobs=ONCE,
        ran=(R2, again(28)),
        left=(left(1, 10, 10, S.LOST, 15, attempt=1),),
        dead=(dead(10),),
    ),
    # Overlapping
    Case(name="overlapping", ran=(Ran(n=1, due=10, lasts=10.5), R2), finds=("overlapping 20",)),
    Case(name="not overlapping", ran=(Ran(n=1, due=10, lasts=10), R2)),
    Case(name="overlapping by less than the clocks differ", ran=(Ran(n=1, due=10, lasts=10.4), R2), bounds=CLOCKS),
    Case(name="two may", jobs=(job(max_concurrency=2),), ran=(Ran(n=1, due=10, lasts=12), R2)),
    Case(
        name="three may not",
        jobs=(job(max_concurrency=2),),
        ran=(Ran(n=1, due=10, lasts=12), Ran(n="m1", due=15, lasts=9), R2),
        finds=("overlapping 20",),
    ),
    Case(name="overlapping by hand", ran=(R1, R2, Ran(n="m1", due=20.5)), finds=("overlapping 20.5",)),
    Case(
        name="beside a run of a dead replica",
        ran=(Ran(n=1, due=10, lasts=None), R2, again(21.5)),
        dead=(dead(12),),
        until=24,
    ),
    Case(
        name="beside one of a replica that knows it is cut off",
        ran=(Ran(n=1, due=10, lasts=12), R2),
        dead=(dead(12, back=13, frozen=False),),
        finds=("overlapping 20",),
    ),
    Case(
        name="the parts of one execution", jobs=(job(scope="all"),), ran=(R1, Ran(n="1-2", due=10, replica="r2"), R2)
    ),
    Case(
        name="beside one that was claimed when it might",
        jobs=(job(overlap="allow"), job(21, generation=2)),
        ran=(Ran(n=1, due=10, lasts=12), R2),
        until=24,
    ),
    Case(
        name="beside one that left no trace",
        jobs=(job(overlap="allow", delivery="at_most_once"), job(15, generation=2)),
        ran=(Ran(n=1, due=10, lasts=12), R2),
    ),
    Case(
        name="beside one of its key",
        jobs=KEYS,
        ran=(R1, Ran(n="m1", due=10.5, job="b", uid="B"), R2),
        finds=("overlapping 10.5",),
    ),
    Case(
        name="beside one of another key",
        jobs=(*KEYS[:1], job(name="b", uid="B", concurrency_key="disk", schedule=Interval(hours=1))),
        ran=(R1, Ran(n="m1", due=10.5, job="b", uid="B"), R2),
    ),
    Case(
        name="beside one, claimed just before it might not",
        jobs=(job(overlap="allow"), job(19.95, generation=2)),
        ran=(Ran(n=1, due=10, lasts=12), R2),
        until=24,
    ),
    Case(
        name="beside one, claimed just after it might",
        jobs=(job(overlap="allow"), job(19.95, generation=2)),
        ran=(Ran(n=1, due=10, lasts=12), Ran(n=2, due=20, claimed=19.96)),
        until=24,
        finds=("overlapping 20",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found(case: Case) -> None:
    assert case.found() == sorted(case.finds)
