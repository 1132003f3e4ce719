"""How exact a scheduler is held to be."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is allowed for.

    `late`: how long after it could begin a run may begin. `early`: how long before its instant, for two readings of
    one clock. `recovery`: how long after a death or an outage what it touched may take. `claim`: how long before
    its start a run may have been claimed, by the definition that was in force then. `finishing`: how long the
    last writes of a run may take after its end. `clocks`: how far the clocks by which things were noted may differ.
    """

    late: timedelta = timedelta(seconds=1)
    early: timedelta = timedelta(milliseconds=5)
    recovery: timedelta = timedelta(seconds=10)
    claim: timedelta = timedelta(milliseconds=100)
    finishing: timedelta = timedelta(milliseconds=500)
    clocks: timedelta = timedelta(0)
