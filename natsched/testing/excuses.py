"""What excuses runs that are late, begin twice or never end: replicas and servers that were away."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A time in which a replica could not prove that it was alive; `back` is None if it never was again.

    One that was `frozen` or killed does not notice, so others run what it ran. One that only lost the server has to
    cancel its runs before others begin them.
    """

    replica: str
    at: datetime
    back: datetime | None = None
    frozen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which no run could begin: the server was away, or all replicas were."""

    at: datetime
    back: datetime
