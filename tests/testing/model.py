"""An honest scheduler in small: the rules of the core on a queue of events, with deaths, outages and changes.

It decides what the replicas of a real one would; what it leaves behind has to be without a finding.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from natsched.core.changes import Change as Written
from natsched.core.changes import create, pause, remove, resume, trigger, update
from natsched.core.deciding import decide
from natsched.core.decisions import Await, Claim, Displace, HandBack, Settle, Wait
from natsched.core.endings import Outcome, finish, record_of
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.facts import Facts
from natsched.core.hints import Hint
from natsched.core.ids import manual_execution
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Running, Spec, Stored
from natsched.core.owed import freed, manual_hint, owed, retry_hint, takeover_hint
from natsched.core.planning import start_of_running
from natsched.core.retries import Failure, judged
from natsched.testing import Absence, Change, End, History, LeftOut, Outage, Start, left_out_by
from tests.factories import NOON

JOB = JobId("billing.daily")
EARLIER = timedelta(milliseconds=20)
MOMENT = timedelta(milliseconds=3)
TTL = timedelta(seconds=5)
REPLICAS = ("a", "b")


@dataclass(slots=True)
class Model:
    """One job and two replicas; one that dies is replaced at once by another of its name."""

    takes: Callable[[], timedelta]
    fails: Callable[[], bool]
    outages: list[Outage] = field(default_factory=list)
    now: datetime = NOON
    job: Job | None = None
    changes: list[Change] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    number: int = 0
    revision: int = 0
    lives: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REPLICAS, 1))
    over: dict[LeaseId, datetime] = field(default_factory=dict)
    events: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)

    def at(self, when: datetime, do: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (max(when, self.now), self.number, do))

    def run(self, until: datetime) -> History:
        while self.events and self.events[0][0] < until:
            self.now, _, do = heapq.heappop(self.events)
            do()
        return History(
            changes=self.changes,
            starts=self.starts,
            ends=self.ends,
            left_out=self.left_out,
            absences=self.absences,
            outages=self.outages,
            until=until,
        )

    # What clients do

    def create(self, spec: Spec) -> None:
        if self.job is None and not self.is_away():
            self.number += 1
            self.change(create(JOB, f"UID{self.number}", replace(spec, anchor=self.now), self.now), ())

    def update(self, spec: Spec) -> None:
        if self.job is not None:
            self.written(update(self.job, replace(spec, anchor=self.job.spec.anchor), self.now))

    def pause(self, until: datetime | None) -> None:
        if self.job is not None:
            self.written(pause(self.job, self.now, until))

    def resume(self) -> None:
        if self.job is not None:
            self.written(resume(self.job, self.now))

    def remove(self) -> None:
        if self.job is not None and not self.is_away():
            self.tell(remove(self.job, self.now))
            self.changes.append(Change.away(self.job, asked=self.now - MOMENT, returned=self.now + MOMENT))
            self.job = None

    def trigger(self) -> None:
        if self.job is not None and not self.is_away():
            self.number += 1
            self.write(trigger(self.job, manual_execution(self.job.uid, f"{self.number}"), None, self.now))
            for execution in self.job.status.manual:
                self.look_at(manual_hint(self.job, execution, self.revision))

    def written(self, change: Written | None) -> None:
        if change is not None and not self.is_away():
            self.change(change.job, change.records)

    def change(self, job: Job, records: Iterable[Record]) -> None:
        self.tell(records)
        self.changes.append(Change.to(job, asked=self.now - MOMENT, returned=self.now + MOMENT))
        self.write(job)

    # What befalls replicas

    def is_away(self) -> bool:
        return any(outage.at <= self.now < outage.back for outage in self.outages)

    def lease(self, replica: str) -> LeaseId:
        return LeaseId(f"lease.{replica}.{self.lives[replica]}")

    def die(self, replica: str) -> None:
        """Kill a replica: its lease is over some time later, and what it ran is hinted again."""
        lease = self.lease(replica)
        self.absences.append(Absence(replica=lease, at=self.now))
        self.over[lease] = self.now + TTL
        self.lives[replica] += 1
        self.at(self.now + TTL + MOMENT, lambda: self.take_over(lease))

    def take_over(self, lease: LeaseId) -> None:
        if self.job is not None:
            for execution, entry in self.job.status.running.items():
                if entry.lease == lease:
                    self.look_at(takeover_hint(self.job, execution, entry, self.revision))

    # What replicas do

    def look_at(self, hint: Hint) -> None:
        self.at(hint.start - EARLIER, lambda: self.look(hint))

    def look(self, hint: Hint) -> None:
        back = [outage.back for outage in self.outages if outage.at <= self.now < outage.back]
        if back:
            self.at(max(back) + MOMENT, lambda: self.look(hint))
            return
        replica = REPLICAS[self.number % 2]
        lease, running = self.lease(replica), {} if self.job is None else self.job.status.running
        known = {LeaseId(f"lease.{name}.{n}") for name in REPLICAS for n in range(1, self.lives[name] + 1)}
        facts = Facts(
            now=self.now,
            stored=Stored(id=JOB, job=self.job, revision=self.revision),
            lease=lease,
            authoritative=True,
            mine={key for key, entry in running.items() if entry.lease == lease},
            leases={one: self.over.get(one, self.now) >= self.now for one in known},
            replicas=frozenset(self.lease(name) for name in REPLICAS),
            primary=self.lease("a"),
            record_known=True,
        )
        match decide(hint, facts):
            case Claim() as claim:
                self.write(claim.job)
                self.tell(claim.records)
                self.claimed(claim.job, facts.stored.revision)
                if claim.traceless:
                    self.at(claim.start, lambda: self.start(claim.job, claim.execution, claim.running))
            case Settle() as settled:
                self.write(settled.job)
                self.tell(settled.records)
                self.claimed(settled.job, facts.stored.revision)
            case Displace() as displaced:
                self.write(displaced.job)
                for key, entry in displaced.job.status.running.items():
                    if entry.cancel is not None:
                        self.at(self.now, lambda key=key, entry=entry: self.cancel(key, entry))  # type: ignore[misc]
                self.at(self.now + MOMENT, lambda: self.look(hint))
            case Wait(until=until):
                self.at(until, lambda: self.look(hint))
            case Await() | HandBack():
                self.at(self.now + timedelta(milliseconds=50), lambda: self.look(hint))

    def claimed(self, job: Job, token: int) -> None:
        """Have what a write claimed begin at its instant, on whichever replica it was claimed for."""
        for execution, entry in job.status.running.items():
            if entry.token == token:
                self.at(start_of_running(job, entry), lambda key=execution, one=entry: self.start(job, key, one))  # type: ignore[misc]

    def is_dead(self, lease: LeaseId | None) -> bool:
        return lease in self.over

    def start(self, job: Job, execution: ExecutionId, entry: Running) -> None:
        if self.is_dead(entry.lease):
            return
        start = Start(
            job=job.id,
            execution=execution,
            attempt=entry.attempt,
            due=entry.due,
            at=self.now,
            replica=entry.lease,
            generation=job.spec.generation if self.number % 2 else None,
        )
        self.starts.append(start)
        status = ExecutionStatus.FAILED if self.fails() else ExecutionStatus.OK
        self.at(self.now + self.takes(), lambda: self.end(job, execution, entry, start, status))

    def cancel(self, execution: ExecutionId, entry: Running) -> None:
        mine = [one for one in self.starts if (one.execution, one.attempt) == (execution, entry.attempt)]
        if self.job is not None and mine:
            self.end(self.job, execution, entry, mine[-1], ExecutionStatus.CANCELLED)

    def end(self, job: Job, execution: ExecutionId, entry: Running, start: Start, status: ExecutionStatus) -> None:
        which = (execution, entry.attempt, start.replica)
        if self.is_dead(entry.lease) or any((end.execution, end.attempt, end.replica) == which for end in self.ends):
            return
        outcome = Outcome(status=status, started_at=start.at, ended_at=self.now)
        if status is ExecutionStatus.FAILED:
            outcome = judged(job, execution, entry, outcome, Failure())
        end = End(
            job=job.id,
            execution=execution,
            attempt=entry.attempt,
            at=self.now,
            status=outcome.status,
            replica=start.replica,
            retry_at=outcome.retry_at,
        )
        self.ends.append(end)
        self.records.append(record_of(job, execution, entry, outcome, replica=start.replica))
        if self.job is not None and self.job.uid == job.uid and execution in self.job.status.running:
            self.finish(execution, entry, outcome)

    def finish(self, execution: ExecutionId, entry: Running, outcome: Outcome) -> None:
        """Write the end down, as soon as the server is there."""
        back = [outage.back for outage in self.outages if outage.at <= self.now < outage.back]
        if back:
            self.at(max(back), lambda: self.finish(execution, entry, outcome))
        elif self.job is not None and execution in self.job.status.running and not self.is_dead(entry.lease):
            self.write(finish(self.job, execution, outcome))

    def write(self, job: Job) -> None:
        before, self.job = self.job, job
        self.revision += 1
        if before is None:
            before = replace(job, status=replace(job.status, plan=replace(job.status.plan, n=0)))
        for hint in (*owed(before, job, self.revision), *freed(before, job, self.revision, self.now)):
            self.look_at(hint)
        resumed = job.spec.active and not before.spec.active
        for execution in job.status.retries if resumed else ():
            if (again := retry_hint(job, execution, self.revision)) is not None:
                self.look_at(again)

    def tell(self, records: Iterable[Record]) -> None:
        for record in records:
            self.records.append(record)
            self.left_out.append(left_out_by(record))
