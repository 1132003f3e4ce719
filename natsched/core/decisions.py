"""What can be decided about a hint, as frozen values: the shell matches them and does as they say."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from natsched.core.executions import Record
from natsched.core.jobs import ExecutionId, Job, LeaseId, Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Write `job` in place of what was read, then run the execution at `start`.

    `records` tell what does not run; those that the job's history keeps are created before the write. `running`
    is the entry of the execution; where `traceless` it is in no document: the run leaves nothing to finish. With
    `rehint` the plan's hint is owed: it moved, or whoever moved it may have died before hinting. `tell` are
    replicas that the write gives a part in it.
    """

    job: Job
    execution: ExecutionId
    running: Running
    start: datetime
    records: tuple[Record, ...] = ()
    traceless: bool = False
    rehint: bool = False
    tell: tuple[LeaseId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Write `job` in place of what was read; nothing runs here. Then the hint has done its work.

    `records` tell what does not run; those that the job's history keeps are created before the write. `finished` is
    the record that an execution is finished from: whoever left it may have told nobody. `tell` are replicas that
    the write gives something to run.
    """

    job: Job
    reason: str
    records: tuple[Record, ...] = ()
    finished: Record | None = None
    tell: tuple[LeaseId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Displace:
    """Write `job`, in which runs are asked to end, tell their replicas (`tell`) and decide anew."""

    job: Job
    tell: tuple[LeaseId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOn:
    """Tell the jobs that follow of the execution's end, which `job` keeps until then.

    One that cannot be read is told by a replica that can; if not `patient`, it does not run after this end.
    """

    job: Job
    execution: ExecutionId
    patient: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Hold the hint until then, read the document again and decide anew."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Hold the hint until that execution, which is in this replica's hands, has ended; then decide anew."""

    execution: ExecutionId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandBack:
    """Let the hint come again, to any replica, after `delay`."""

    delay: timedelta
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The hint is old: it has nothing to say any more, and nothing to write."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAgain:
    """What was read may be older than the hint: read from the leader and decide anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLeases:
    """Whether these leases are over is not known: ask the leader and decide anew."""

    leases: frozenset[LeaseId]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskReplicas:
    """Which replicas serve the queue, and which is the primary, is not known: look and decide anew."""

    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRecord:
    """The holder of the execution is gone: see whether it left a record, and decide anew."""

    execution: ExecutionId
    attempt: int


Question: TypeAlias = AskLeases | AskReplicas | AskRecord
Decision: TypeAlias = Claim | Settle | Displace | PassOn | Wait | Await | HandBack | Drop | ReadAgain | Question
