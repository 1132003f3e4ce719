"""What must hold in the model at every moment, whoever dies: the promises, counted."""

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from natsched.core.catching_up import LATE
from natsched.core.decisions import Claim
from natsched.core.executions import DID_NOT_RUN, FINAL, ExecutionStatus
from natsched.core.jobs import ExecutionId, Job, LeaseId
from natsched.core.planning import is_spent, under_way
from natsched.core.schedules import gap
from tests.core.strategies import instant_of

LEAD: Final = timedelta(seconds=1)
TICK: Final = timedelta(microseconds=1)
RAN: Final = FINAL - DID_NOT_RUN


@dataclass(slots=True)
class Execution:
    """What is known of one claimed execution of the job that is."""

    traceless: bool
    starts: list[LeaseId] = field(default_factory=list)
    given_back: int = 0
    before: int = 0
    """The number of the attempt that failed last."""


class Ledger:
    """Books about the job of the current uid; `live` are the leases that live, at any moment."""

    def __init__(self, live: Set[LeaseId]) -> None:
        self.live = live
        self.executions: dict[ExecutionId, Execution] = {}
        self.asked: set[ExecutionId] = set()
        self.going: dict[ExecutionId, tuple[str, LeaseId]] = {}
        self.expected = 0
        self.cursor: datetime | None = None
        self.definition: Job | None = None

        self.plan_after: datetime | None = None
        self.gave_up: set[ExecutionId] = set()
        self.called_off: set[ExecutionId] = set()
        self.to_end: set[ExecutionId] = set()

    # What it is told

    def created(self, job: Job, now: datetime) -> None:
        self.executions.clear()
        self.asked.clear()
        self.gave_up.clear()
        self.called_off.clear()
        self.to_end.clear()
        self.expected, self.cursor, self.plan_after, self.definition = 0, now, now, job

    def written(self, before: Job | None, after: Job | None) -> None:
        """Every write: the number of a plan grows whenever the plan changes, and never otherwise."""
        if before is not None and after is not None and before.uid == after.uid:
            old, new = before.status.plan, after.status.plan
            assert new == old or new.n > old.n
            for key in after.status.retries.keys() - before.status.retries.keys():
                self.executions[key].before = after.status.retries[key].attempt - 1
                self.executions[key].given_back = 0
                self.executions[key].starts.clear()
            self.gave_up |= before.status.manual.keys() - after.status.manual.keys() - after.status.running.keys()
        if after is None:
            self.definition = None

    def cancelled(self, before: Job, execution: ExecutionId) -> None:
        """A client's cancel has returned: from here on the execution is not begun, and not tried again."""
        if execution in before.status.manual:
            self.gave_up.discard(execution)
            self.called_off.add(execution)
        else:
            self.to_end.add(execution)

    def changed(self, before: Job, after: Job, now: datetime) -> None:
        """A client's change has returned: from here on nothing of the old definition is claimed."""
        self.definition = after
        if before.status.plan.n == after.status.plan.n:
            return
        last = before.status.last_due
        after_all = now if last is None else max(now, last)
        until = after.spec.paused_until
        if after.spec.is_active(now):
            self.plan_after = after_all
        else:
            self.plan_after = None if until is None else max(after_all, until - TICK)
        paused = not before.spec.is_active(now) and not after.spec.is_active(now)
        told = self.told_of(after)
        if paused and before.spec.schedule == after.spec.schedule:
            assert told == self.expected, "told of before the end of the pause"
            return
        if before.spec.fixed_delay is None:
            assert told == self.expected + self.passed(before, now), "promise 7: what was due is not told of"
        self.expected, self.cursor = told, after_all

    def decided(self, claim: Claim, now: datetime) -> None:
        """A claim is about to be written: what is made up for is made up for in order."""
        spec, entry = claim.job.spec, claim.running
        if spec.catch_up == "all" and not entry.manual and entry.attempt == 1 and now - claim.start > LATE:
            running = claim.job.status.running.items()
            assert all(other.manual for key, other in running if key != claim.execution), "out of order"
            assert all(other.manual for other in claim.job.status.retries.values()), "out of order"

    def claimed(self, claim: Claim, now: datetime) -> None:
        """Promise 5: nothing is claimed but by the definition that was last returned."""
        job, entry = claim.job, claim.running
        assert self.definition is not None
        assert claim.execution not in self.to_end | self.called_off, "claimed after it was cancelled"
        assert (job.uid, job.spec.generation) == (self.definition.uid, self.definition.spec.generation)
        # a plan that is claimed early, for the end of a pause, ends the pause at once
        assert entry.manual or self.definition.spec.is_active(max(now + LEAD, claim.start)), "claimed in a pause"
        others = [other for key, other in job.status.running.items() if key != claim.execution]
        if job.spec.concurrency is not None:
            beside = sum(other.lease in self.live for other in others)
            assert beside < job.spec.concurrency, "promise 4: claimed beside too many"
        if entry.attempt > 1:
            known = self.executions[claim.execution]
            tries = 1 + known.before + entry.takeovers + known.given_back
            assert entry.attempt == tries, "a death or a failure too many or too few"
            if job.spec.retry is None:
                assert known.before == 0
            else:
                assert known.before < job.spec.retry.max_attempts
            assert entry.takeovers <= job.spec.max_crashes
        else:
            assert claim.execution not in self.executions
            self.executions[claim.execution] = Execution(claim.traceless)
            if entry.manual:
                assert claim.execution in self.asked
                if job.spec.concurrency is not None and "-b" in claim.execution:
                    waiting = [asked.due for asked in job.status.manual.values() if asked.due is not None]
                    assert all(entry.due < due for due in waiting), "a backfill out of order"
            else:
                assert job.spec.fixed_delay or instant_of(job, entry.due - TICK) == entry.due

    def started(self, claim: Claim, job: Job, now: datetime) -> None:
        entry = claim.running
        assert entry.lease is not None
        assert now >= claim.start >= entry.due, "promise 3: early"
        assert entry.deadline is None or now < entry.deadline, "begun after its deadline"
        if job.spec.concurrency is not None:
            others = [key for key, (uid, lease) in self.going.items() if uid == job.uid and lease in self.live]
            assert len(others) < job.spec.concurrency, "promise 4: overlapping"
        self.going[claim.execution] = (job.uid, entry.lease)
        known = self.executions.get(claim.execution)
        if known is None:
            return  # of a job that was removed
        if known.starts:
            assert job.spec.delivery != "at_most_once", "at most once"
            assert known.starts[-1] not in self.live or known.given_back, "promise 2: doubled without a death"
        known.starts.append(entry.lease)
        assert len(known.starts) <= job.spec.max_crashes + 1 + known.given_back

    def stopped(self, claim: Claim) -> None:
        self.going.pop(claim.execution, None)

    def died(self, lease: LeaseId) -> None:
        self.going = {key: going for key, going in self.going.items() if going[1] != lease}

    def released(self, claim: Claim) -> None:
        known = self.executions.get(claim.execution)
        if known is not None:
            known.given_back += 1

    # What it finds

    def passed(self, job: Job, now: datetime | None = None) -> int:
        """Count the instants of the schedule since the cursor that must be told of: up to the last due, or to now."""
        if self.cursor is None or job.spec.fixed_delay is not None:
            return 0
        last = job.status.last_due or self.cursor
        spent = is_spent(job, job.status.runs)
        if now is not None and not spent and (job.status.plan.due is not None or not job.spec.active):
            last = max(last, now)
        first = instant_of(job, self.cursor)
        if first is None or first > last:
            return 0
        return gap(job.spec.schedule, first, last, anchor=job.spec.anchor, salt=job.id).number

    def check(self, job: Job | None) -> None:
        """At every moment: no instant is lost or told of twice, no execution is forgotten."""
        if job is None:
            return
        counts, status = job.status.counts, job.status
        claimed = [key for key, known in self.executions.items() if not known.traceless]
        assert set(status.running) <= set(claimed)
        ended = sum(counts.get(end, 0) for end in RAN)
        known = len(claimed) + len(self.called_off)
        assert ended + len(status.running) + len(status.retries) == known, "promise 7: forgotten"
        assert self.to_end.isdisjoint(status.retries), "tried again although it was cancelled"
        spent = is_spent(job, status.runs)
        if job.spec.fixed_delay is not None:
            waits = under_way(status.running, status.retries)
            assert status.plan.due or waits or spent or self.plan_after is None, "promise 1: stranded"
            assert not (status.plan.due and waits and job.spec.active), "planned before the end it counts from"
            return
        assert self.told_of(job) == self.expected + self.passed(job), "promise 1 or 7: lost or silent"
        if spent:
            assert status.plan.due is None
        elif self.plan_after is not None:
            after = max(self.plan_after, status.last_due or self.plan_after)
            assert status.plan.due == instant_of(job, after), "promise 1"

    def check_calm(self, job: Job | None) -> None:
        """After a calm: what was claimed has been started, unless its job says why not."""
        self.check(job)
        if job is None:
            return
        counts = job.status.counts
        assert not job.status.manual
        assert self.asked - self.gave_up - self.called_off <= set(self.executions)
        never = [
            key
            for key, known in self.executions.items()
            if not known.traceless
            and not known.starts
            and not known.before
            and key not in {**job.status.running, **job.status.retries}
        ]
        told = (
            ExecutionStatus.DEAD,
            ExecutionStatus.LOST,
            ExecutionStatus.CANCELLED,
            ExecutionStatus.TIMED_OUT,
        )
        assert len(never) <= sum(counts.get(end, 0) for end in told), "promise 1: claimed, never started"

    def told_of(self, job: Job) -> int:
        """Count the instants that ran or that a reason is counted for."""
        by_hand = len(self.gave_up)
        return job.status.runs + sum(job.status.counts.get(end, 0) for end in DID_NOT_RUN) - by_hand
