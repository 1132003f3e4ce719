"""When to begin: early enough that a whole burst is read and claimed before it is due, and no earlier."""

from collections.abc import Iterable
from typing import Final, NamedTuple

BASE: Final = 0.030
"""Seconds before its start at which a lone hint is looked at: a few round trips and then some."""

SLACK: Final = 0.004
"""Seconds that a beginning may be brought forward, so that neighbours share one read."""


COST: Final = 0.0004
"""Seconds of work that a hint needs before its run can start, on a modest machine.

A constant, since what can be measured in passing is waiting as much as work: an estimate of that makes a busy
replica begin earlier and so busier still.
"""


class Beginning(NamedTuple):
    """Begin at `at`, with all that start not later than `until`; both in seconds since 1970."""

    at: float
    until: float


def beginning(starts: Iterable[tuple[float, int]], *, cost: float = COST, base: float = BASE) -> Beginning | None:
    """Say when to begin, given (start, how many) in order and the seconds that one hint costs.

    All up to the i-th must be through before the i-th starts, so the work for them begins `cost` times their
    number before it; the most demanding of these decides.
    """
    best: Beginning | None = None
    number = 0
    for start, many in starts:
        number += many
        at = start - base - cost * number
        if best is None or at <= best.at + SLACK:
            best = Beginning(at if best is None else min(at, best.at), start)
    return best
