"""How a replica is at a moment: what probes and metrics ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A queue's places for running executions: how many there are, are taken, and are waited for."""

    number: int
    taken: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a replica is.

    `silent_for`: seconds since the server told its time last, None if it never did. `lost_for`: seconds since the
    lease was lost, 0 while there is one. `offset`: how far the server's clock is ahead of the machine's. `held`: the
    deliveries in this replica's hands.
    """

    name: str
    lease: str
    is_serving: bool
    is_stopping: bool
    is_primary: bool
    is_leased: bool
    lost_for: float
    silent_for: float | None
    offset: timedelta
    held: int
    places: Mapping[str, Places]
