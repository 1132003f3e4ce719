"""Where a run takes place: on the replica that claims it, on the primary one, or on every one."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from natsched.core.decisions import AskReplicas, Claim, HandBack, Settle
from natsched.core.executions import Record
from natsched.core.facts import Facts, hand_back
from natsched.core.jobs import ExecutionId, Job, LeaseId, Running


def place(job: Job, facts: Facts) -> tuple[LeaseId, ...] | AskReplicas | HandBack:
    """Return the replicas that an execution is claimed for, this one first if it is among them."""
    if not job.spec.is_placed:
        return (facts.lease,)
    if facts.replicas is None:
        return AskReplicas(queue=job.spec.queue)
    if not job.spec.primary_only:
        return (facts.lease, *sorted(facts.replicas - {facts.lease}))
    if facts.primary is None:
        return hand_back(facts, "no replica is the primary one now")
    if facts.primary not in facts.replicas:
        return hand_back(facts, f"the primary replica does not serve the queue {job.spec.queue!r}")
    return (facts.primary,)


def parts(
    execution: ExecutionId, entry: Running, places: tuple[LeaseId, ...], facts: Facts
) -> dict[ExecutionId, Running]:
    """Return the entries of an execution that is claimed for those replicas: each has a part of its own.

    `entry` is this replica's.
    """
    if places == (facts.lease,):
        return {execution: entry}
    return {
        part_of(execution, number): replace(entry, lease=lease, assigned=lease != facts.lease)
        for number, lease in enumerate(places, start=1)
    }


def claimed(
    job: Job,
    execution: ExecutionId,
    entries: Mapping[ExecutionId, Running],
    start: datetime,
    *,
    records: tuple[Record, ...] = (),
    traceless: bool = False,
    rehint: bool = False,
) -> Claim | Settle:
    """Claim for this replica, or settle where what was claimed is another's alone; `job` has the entries."""
    own = entries[execution]
    tell = tuple(entry.lease for entry in entries.values() if entry.assigned and entry.lease is not None)
    if own.assigned:
        return Settle(job=job, reason="it runs on another replica", records=records, tell=tell)
    return Claim(
        job=job,
        execution=execution,
        running=own,
        start=start,
        records=records,
        traceless=traceless,
        rehint=rehint,
        tell=tell,
    )


def part_of(execution: ExecutionId, number: int) -> ExecutionId:
    """Name the part of an execution that the replica of that number has; the first has the execution's own name."""
    return execution if number == 1 else ExecutionId(f"{execution}-{number}")
