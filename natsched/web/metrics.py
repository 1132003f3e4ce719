"""What a replica did, counted for Prometheus.

Every run passes here twice, so what is counted is found by one look into a dict and not by the names of labels.
No label holds what users write (ids, errors): their number has no end.
"""

import re
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from natsched.core.executions import ExecutionStatus
from natsched.daemon.events import (
    Event,
    HandedBack,
    HintDropped,
    LeaseLost,
    NoticeDropped,
    Quarantined,
    Repaired,
    RunEnded,
    RunLeftOut,
    RunStarted,
    Swept,
)

LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600)
DURATIONS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
_MOST_REASONS: Final = 64
_OTHER: Final = "other"
_NAME: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


class Metrics:
    """An observer that counts, into a registry of its own. `swept` is the last sweep of this replica, if any."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.swept: Swept | None = None
        ProcessCollector(registry=registry)
        lag = Histogram(
            "natsched_run_lag_seconds",
            "From the instant a run was to start at to its start.",
            buckets=LAGS,
            registry=registry,
        )
        self._lag = lag.observe
        self._duration = Histogram(
            "natsched_run_duration_seconds",
            "From start to end of a run.",
            ["queue"],
            buckets=DURATIONS,
            registry=registry,
        )
        self._runs = Counter(
            "natsched_runs", "Attempts that ended here, by how.", ["queue", "status"], registry=registry
        )
        self._left_out = Counter(
            "natsched_runs_left_out",
            "Instants whose run did not happen, as decided here, by why.",
            ["queue", "status"],
            registry=registry,
        )
        self._ended: dict[tuple[str, ExecutionStatus], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._dropped = Reasons("natsched_hints_dropped", "Hints with nothing to do, by why.", registry)
        self._handed_back = Reasons("natsched_handed_back", "Hints handed back, by why.", registry)
        self._repairs = Reasons("natsched_repairs", "Repairs by the reconciler, by what was found.", registry)
        self._quarantined = Counter("natsched_quarantined", "Sights of unreadable documents.", registry=registry)
        self._leases_lost = Counter("natsched_leases_lost", "Leases that were lost.", registry=registry)
        self._notices_dropped = Counter(
            "natsched_notices_dropped", "Status changes given up or outdated.", ["outdated"], registry=registry
        )
        self._sweeps = Histogram("natsched_sweep_seconds", "How long sweeps took.", registry=registry)

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(lag=lag):
                self._lag(lag)
            case RunEnded(record=record):
                known = self._ended.get((record.queue, record.status))
                count, observe = known or self._bind(record.queue, record.status)
                count()
                if record.started_at is not None and record.ended_at is not None:
                    observe((record.ended_at - record.started_at).total_seconds())
            case RunLeftOut(record=record):
                self._left_out.labels(record.queue, record.status.value).inc(record.number)
            case HintDropped():
                self._dropped.count(event.reason)
            case HandedBack():
                self._handed_back.count(event.reason)
            case Repaired():
                self._repairs.count(event.reason)
            case Quarantined():
                self._quarantined.inc()
            case LeaseLost():
                self._leases_lost.inc()
            case NoticeDropped():
                self._notices_dropped.labels(str(event.outdated).lower()).inc()
            case Swept():
                self.swept = event
                self._sweeps.observe(event.seconds)
            case _:
                pass

    def _bind(self, queue: str, status: ExecutionStatus) -> tuple[Callable[[], None], Callable[[float], None]]:
        """Return what counts the ends of a kind, found once."""
        bound = self._runs.labels(queue, status.value).inc, self._duration.labels(queue).observe
        self._ended[queue, status] = bound
        return bound


class Reasons:
    """A counter by reason: names that stand in one are left out, and beyond 64 different ones the rest is "other"."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._counter = Counter(name, text, ["reason"], registry=registry)
        self._kinds: dict[str, Callable[[], None]] = {}

    def count(self, reason: str) -> None:
        kind = _NAME.sub("...", reason.partition(":")[0])
        known = self._kinds.get(kind)
        if known is None:
            known = self._counter.labels(kind if len(self._kinds) < _MOST_REASONS else _OTHER).inc
            if len(self._kinds) < _MOST_REASONS:
                self._kinds[kind] = known
        known()
