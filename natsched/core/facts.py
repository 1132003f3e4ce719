"""What is known when a hint is decided on, and what follows from that alone."""

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from natsched.core.decisions import AskLeases, Await, HandBack
from natsched.core.executions import Record
from natsched.core.ids import base_of
from natsched.core.jobs import ExecutionId, Job, LeaseId, Running, Stored

_SHORTEST: Final = 0.1
_LONGEST: Final = 5.0


@dataclass(slots=True, kw_only=True)
class Facts:
    """What is known when a hint is looked at; it grows while the answer is a question.

    `authoritative`: the document was read from the leader after the hint came. `recalled`: it is what this replica
    wrote last, however long ago. `mine`: what this replica is claiming or running at this moment, under `lease` or
    one that it lost. `leases`: those that were asked about. `replicas`: those that serve the job's queue, and
    `primary` the primary one, once they were asked about. `record`: the answer to `AskRecord`, once `record_known`.
    `delivery` and `deliveries` are the hint's sequence in the stream and how often it was handed out.
    """

    now: datetime
    stored: Stored
    lease: LeaseId
    authoritative: bool = False
    recalled: bool = False
    mine: Container[ExecutionId] = frozenset()
    leases: Mapping[LeaseId, bool] = field(default_factory=dict)
    replicas: frozenset[LeaseId] | None = None
    primary: LeaseId | None = None
    record: Record | None = None
    record_known: bool = False
    delivery: int = 0
    deliveries: int = 1

    def read_again(self, stored: Stored) -> None:
        """Take a read from the leader; what was asked about an older one is asked again."""
        self.stored = stored
        self.authoritative = True
        self.recalled = False
        self.leases = {}
        self.replicas = self.primary = None
        self.record = None
        self.record_known = False


def is_alive(execution: ExecutionId, entry: Running, facts: Facts) -> bool | None:
    if execution in facts.mine:
        return True
    if entry.lease is None:
        return False
    if entry.lease == facts.lease:
        return entry.assigned  # then this replica is about to be told of it
    return facts.leases.get(entry.lease)


def others_of(job: Job, execution: ExecutionId, facts: Facts) -> frozenset[ExecutionId] | AskLeases:
    """Return what else of the job is running under a live lease; asked for only where that matters."""
    if job.spec.concurrency is None:
        return frozenset()
    found = {
        key: is_alive(key, entry, facts)
        for key, entry in job.status.running.items()
        if key != execution and not _is_part(job, key, execution)
    }
    unknown = frozenset(
        lease
        for key, alive in found.items()
        if alive is None and (lease := job.status.running[key].lease) is not None
    )
    if unknown:
        return AskLeases(leases=unknown)
    return frozenset(key for key, alive in found.items() if alive)


def _is_part(job: Job, other: ExecutionId, execution: ExecutionId) -> bool:
    return job.spec.scope == "all" and base_of(other) == base_of(execution)


def is_full(job: Job, others: Collection[ExecutionId]) -> bool:
    """Whether as many others of the job run as may at once."""
    limit = job.spec.concurrency
    return limit is not None and len(others) >= limit


def wait_for(others: Iterable[ExecutionId], facts: Facts, reason: str) -> Await | HandBack:
    """Wait for others of the job to end: for one in this replica's hands until that very moment."""
    mine = next((execution for execution in others if execution in facts.mine), None)
    return hand_back(facts, reason) if mine is None else Await(execution=mine, reason=reason)


def hand_back(facts: Facts, reason: str) -> HandBack:
    """Hand back with a delay that grows with the deliveries."""
    seconds = min(_LONGEST, _SHORTEST * 2 ** min(facts.deliveries - 1, 10))
    return HandBack(delay=timedelta(seconds=seconds), reason=reason)
