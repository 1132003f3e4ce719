"""A small model of all that surrounds the core: one key, one stream, the leases and three replicas, step by step.

Theory of operation. Replicas do what `natsched.daemon` does, but as generators: each `yield` is a moment at which
anything else may happen, and at which the replica may die. What is sent into a generator is its luck with the next
thing it does: FINE, STALE (the read is old) or LOST (the write's answer, or the hint, does not arrive). The ledger
knows what must hold at every moment, from nothing but the writes and starts that it is told of.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, TypeAlias

from natsched.core import changes, control
from natsched.core.backfilling import backfill, instants_to_run, is_under_way
from natsched.core.deadlines import too_late
from natsched.core.deciding import decide
from natsched.core.decisions import (
    AskLeases,
    AskRecord,
    Await,
    Claim,
    Displace,
    Drop,
    HandBack,
    ReadAgain,
    Settle,
    Wait,
)
from natsched.core.endings import Outcome, holds, is_kept, record_of, release
from natsched.core.executions import Event, ExecutionStatus, Record, advance
from natsched.core.facts import Facts
from natsched.core.hints import Hint, Pending, PlanHint
from natsched.core.jobs import ExecutionId, Job, LeaseId, Running, Spec, Stored
from natsched.core.owed import manual_hint, new_runs, owed
from natsched.core.planning import plan_hint
from natsched.core.retries import Failure, judged
from natsched.core.sweeping import Delete, Rehint, Sight, inspect, inspect_schedule
from tests.core.ledger import LEAD, Ledger
from tests.core.strategies import JOB
from tests.factories import NOON

ACK_WAIT: Final = timedelta(seconds=5)
WINDOW: Final = timedelta(minutes=2)
NOW_AND_AGAIN: Final = timedelta(seconds=10)


class Luck(Enum):
    FINE = "fine"
    STALE = "stale"
    LOST = "lost"


Steps: TypeAlias = Generator[datetime | None, Luck, None]
"""What is yielded is the instant before which there is nothing to do; None: go on at any time."""


@dataclass(slots=True, eq=False)
class Message:
    """A hint in the stream: on its schedule until it fires, then a delivery that is held by one or nobody."""

    hint: Hint
    seq: int
    at: datetime
    held: bool = False
    deliveries: int = 0


@dataclass(slots=True, eq=False)
class Task:
    """One delivery in a replica's hands."""

    message: Message
    steps: Steps
    until: datetime | None = None


@dataclass(slots=True)
class Look:
    """What is known of one hint while it is decided on."""

    stored: Stored
    authoritative: bool = False
    leases: dict[LeaseId, bool] = field(default_factory=dict)
    record: Record | None = None
    record_known: bool = False


@dataclass(slots=True, eq=False)
class Replica:
    name: str
    lease: LeaseId
    active: set[ExecutionId] = field(default_factory=set)
    tasks: list[Task] = field(default_factory=list)
    stopping: bool = False


class World:
    """Everything, and the steps of everyone."""

    def __init__(self) -> None:
        self.now = NOON
        self.versions = [Stored(id=JOB, job=None, revision=0)]
        self.records: dict[tuple[str, int], Record] = {}
        self.schedules: dict[str, Message] = {}
        self.deliveries: list[Message] = []
        self.window: dict[str, datetime] = {}
        self.live: set[LeaseId] = set()
        self.ledger = Ledger(self.live)
        self.numbers = 0
        self.takes = timedelta(0)
        self.replicas = [Replica(name, self.new_lease(name)) for name in ("a", "b", "c")]

    # What NATS does

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    @property
    def stored(self) -> Stored:
        return self.versions[-1]

    @property
    def job(self) -> Job | None:
        return self.stored.job if isinstance(self.stored.job, Job) else None

    def read(self, luck: Luck) -> Stored:
        """Read from whoever answers."""
        return self.versions[-2] if luck is Luck.STALE and len(self.versions) > 1 else self.stored

    def write(self, job: Job | None, *, expected: int) -> int | None:
        if self.stored.revision != expected:
            return None
        self.ledger.written(self.job, job)
        self.versions.append(Stored(id=JOB, job=job, revision=self.number()))
        return self.stored.revision

    def keep(self, *records: Record) -> None:
        for record in records:
            self.records.setdefault((record.execution, record.attempt), record)

    def new_lease(self, name: str) -> LeaseId:
        lease = LeaseId(f"lease.{name}.{self.number()}")
        self.live.add(lease)
        return lease

    def hint(self, hint: Hint | None, luck: Luck, *, repair: bool = False) -> None:
        """Publish under the rule of `natsched.protocol.hinting`."""
        if hint is None or luck is Luck.LOST:
            return
        if hint.start - LEAD <= self.now and not repair:
            if self.now - self.window.get(hint.key, NOON - WINDOW) >= WINDOW:
                self.window[hint.key] = self.now
                self.deliveries.append(Message(hint, self.number(), self.now))
            return
        subject = "plan" if isinstance(hint, PlanHint) else hint.execution
        found = self.schedules.get(subject)
        if found is None or found.hint.revision < hint.revision:
            self.schedules[subject] = Message(hint, self.number(), hint.start - LEAD)

    def fire(self) -> bool:
        due = [subject for subject, message in self.schedules.items() if message.at <= self.now]
        self.deliveries += [self.schedules.pop(subject) for subject in due]
        return bool(due)

    def ack(self, message: Message) -> None:
        if message in self.deliveries:
            self.deliveries.remove(message)

    def nak(self, message: Message, delay: timedelta = timedelta(0)) -> None:
        message.held = False
        message.at = self.now + delay

    # What replicas do

    def take(self, replica: Replica, message: Message) -> Task:
        message.held = True
        message.deliveries += 1
        task = Task(message, self.handle(replica, message))
        task.until = next(task.steps)
        replica.tasks.append(task)
        return task

    def step(self, replica: Replica, task: Task, luck: Luck) -> bool:
        """Let a task do its next step; False if it has to wait for its instant."""
        if task.until is not None and task.until > self.now and not replica.stopping:
            return False
        try:
            task.until = task.steps.send(luck)
        except StopIteration:
            replica.tasks.remove(task)
        return True

    def handle(self, replica: Replica, message: Message) -> Steps:
        """See a delivery through, as the dispatcher does."""
        look = Look(self.read((yield None)))
        while not replica.stopping:
            match decide(message.hint, self.facts(replica, message, look)):
                case Drop():
                    return self.ack(message)
                case Await():
                    yield self.now + timedelta(seconds=2)  # a replica looks at that very moment
                case HandBack(delay=delay):
                    return self.nak(message, delay)
                case (AskLeases() | AskRecord()) as question:
                    self.answer(question, look)
                    yield None
                    continue
                case Settle() as settle:
                    if (yield from self.settle(settle, look.stored)):
                        return self.ack(message)
                case Claim() as claim:
                    self.ledger.decided(claim, self.now)
                    if (yield from self.claim(replica, message, claim, look.stored)):
                        return None
                case Displace(job=job):
                    yield None
                    self.write(job, expected=look.stored.revision)
                case (Wait() | ReadAgain()) as later:
                    yield later.until if isinstance(later, Wait) else None
            look = Look(self.stored, authoritative=True)
        return self.nak(message)

    def facts(self, replica: Replica, message: Message, look: Look) -> Facts:
        return Facts(
            now=self.now,
            stored=look.stored,
            lease=replica.lease,
            authoritative=look.authoritative,
            mine=replica.active,
            leases=look.leases,
            record=look.record,
            record_known=look.record_known,
            delivery=message.seq,
            deliveries=message.deliveries,
        )

    def answer(self, question: AskLeases | AskRecord, look: Look) -> None:
        match question:
            case AskLeases(leases=asked):
                look.leases.update({lease: lease in self.live for lease in asked})
            case AskRecord(execution=execution, attempt=attempt):
                look.record, look.record_known = self.records.get((execution, attempt)), True

    def settle(self, settle: Settle, stored: Stored) -> Generator[datetime | None, Luck, bool]:
        self.keep(*settle.records)
        luck = yield None
        revision = self.write(settle.job, expected=stored.revision)
        if revision is None or luck is Luck.LOST:
            return False
        self.hint(plan_hint(settle.job, revision), (yield None))
        if isinstance(stored.job, Job):
            for hint in new_runs(stored.job, settle.job, revision):
                self.hint(hint, (yield None))
        yield None
        return True

    def claim(
        self, replica: Replica, message: Message, claim: Claim, stored: Stored
    ) -> Generator[datetime | None, Luck, bool]:
        """Claim and run; False if the claim was lost."""
        yield None
        if claim.execution in replica.active:
            self.nak(message, ACK_WAIT)
            return True
        replica.active.add(claim.execution)
        try:
            self.keep(*claim.records)
            won = yield from self.win(claim, stored)
            if won is None:
                return False
            yield from self.run(replica, message, claim, *won)
            return True
        finally:
            replica.active.discard(claim.execution)

    def win(self, claim: Claim, stored: Stored) -> Generator[datetime | None, Luck, tuple[Job, int] | None]:
        luck = yield None
        revision = self.write(claim.job, expected=stored.revision)
        if revision is not None:
            self.ledger.claimed(claim, self.now)
            if luck is not Luck.LOST:
                return claim.job, revision
            yield None
        entry, found = claim.running, self.job
        assert entry.lease is not None
        if claim.traceless or found is None:
            return None
        if not holds(found, claim.execution, token=entry.token, lease=entry.lease):
            return None
        return found, self.stored.revision

    def run(self, replica: Replica, message: Message, claim: Claim, job: Job, revision: int) -> Steps:
        luck = yield None
        if claim.rehint:
            self.hint(plan_hint(job, revision), luck)
        if job.spec.delivery == "at_most_once":
            yield None
            self.ack(message)
        while claim.start > self.now and not replica.stopping:
            yield claim.start
        yield None
        started_at, deadline = None, claim.running.deadline
        expired = deadline is not None and deadline <= self.now
        if self.may_go_on(replica, claim) and not replica.stopping and not expired:
            started_at = self.now
            self.ledger.started(claim, job, self.now)
            luck = yield self.now + self.takes
            self.ledger.stopped(claim)
        if not self.may_go_on(replica, claim):
            self.nak(message, ACK_WAIT)
            return
        outcome = self.outcome(replica, job, started_at, luck, heard=self.is_cancelled(claim))
        if expired and not replica.stopping:
            outcome = too_late(self.now)
        if outcome.status in (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT):
            outcome = judged(job, claim.execution, claim.running, outcome, Failure())
        record = record_of(job, claim.execution, claim.running, outcome, replica=replica.name)
        if is_kept(job, record):
            self.keep(record)
        yield None
        ended = claim.traceless or (yield from self.end(replica, claim, outcome, job, revision))
        if not ended:
            self.nak(message, ACK_WAIT)
        elif outcome.status is ExecutionStatus.INTERRUPTED:
            self.nak(message)
        else:
            self.ack(message)

    def end(
        self, replica: Replica, claim: Claim, outcome: Outcome, job: Job, revision: int
    ) -> Generator[datetime | None, Luck, bool]:
        """Finish or give back; False if the execution is no longer this replica's."""
        entry, interrupted = claim.running, outcome.status is ExecutionStatus.INTERRUPTED
        assert entry.lease is not None
        while self.may_go_on(replica, claim):
            luck = yield None
            change = changes.Change(job=release(job, claim.execution))
            if not interrupted:
                change = control.ended(job, claim.execution, outcome)
            self.keep(*change.records)
            ended = change.job
            written = self.write(ended, expected=revision)
            if written is not None and interrupted:
                self.ledger.released(claim)
            if written is not None and luck is not Luck.LOST:
                for hint in owed(job, ended, written):
                    self.hint(hint, (yield None))
                yield None
                return True
            found = self.job
            if found is None or found.uid != job.uid:
                return True
            if not holds(found, claim.execution, token=entry.token, lease=entry.lease):
                last = found.status.last
                return last is not None and (last.execution, last.attempt) == (claim.execution, entry.attempt)
            job, revision = found, self.stored.revision
        return False

    def may_go_on(self, replica: Replica, claim: Claim) -> bool:
        return replica.lease == claim.running.lease and replica.lease in self.live

    def is_cancelled(self, claim: Claim) -> bool:
        entry = None if self.job is None else self.job.status.running.get(claim.execution)
        return entry is not None and entry.token == claim.running.token and entry.cancel is not None

    def outcome(self, replica: Replica, job: Job, started_at: datetime | None, luck: Luck, *, heard: bool) -> Outcome:
        """Say how a run went; one that is to end and hears of it (unless its luck is STALE) is cancelled."""
        event = Event.SUCCEED if luck is Luck.FINE else Event.FAIL
        if heard and luck is not Luck.STALE:
            event = Event.CANCEL
        if replica.stopping:
            event = Event.CANCEL if job.spec.delivery == "at_most_once" else Event.SHUT_DOWN
        status = advance(ExecutionStatus.RUNNING, event)
        return Outcome(status=status, started_at=started_at, ended_at=self.now)

    # What befalls replicas

    def busy(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.active] or [
            replica for replica in self.replicas if replica.tasks
        ]

    def crash(self, replica: Replica) -> None:
        """End all it does at once; its lease ends later, and what it held comes again later."""
        for task in replica.tasks:
            task.steps.close()
            self.nak(task.message, ACK_WAIT)
        self.ledger.died(replica.lease)
        replica.tasks.clear()
        replica.active.clear()
        replica.lease = self.new_lease(replica.name)

    def suspend(self, replica: Replica) -> None:
        """Let its lease end while it goes on; it notices at its next look at the lease."""
        self.live.discard(replica.lease)
        replica.lease = self.new_lease(replica.name)

    def shut_down(self, replica: Replica) -> None:
        replica.stopping = True
        while replica.tasks:
            self.step(replica, replica.tasks[0], Luck.FINE)
        self.live.discard(replica.lease)
        replica.lease = self.new_lease(replica.name)
        replica.stopping = False

    # What clients do

    def create(self, spec: Spec, luck: Luck) -> None:
        job = changes.create(JOB, f"U{self.number()}", spec, self.now)
        revision = self.write(job, expected=self.stored.revision)
        assert revision is not None
        self.ledger.created(job, self.now)
        self.hint(plan_hint(job, revision), luck)

    def change(self, change: changes.Change | None, luck: Luck) -> None:
        before = self.job
        if change is None or before is None:
            return
        self.keep(*change.records)
        revision = self.write(change.job, expected=self.stored.revision)
        assert revision is not None
        self.ledger.changed(before, change.job, self.now)
        self.hint(plan_hint(change.job, revision), luck)

    def trigger(self, job: Job, luck: Luck) -> None:
        execution = ExecutionId(f"{job.uid}-m{self.number()}")
        asked = changes.trigger(job, execution, None, self.now)
        revision = self.write(asked, expected=self.stored.revision)
        assert revision is not None
        self.ledger.asked.add(execution)
        self.hint(manual_hint(asked, execution, revision), luck)

    def cancel(self, job: Job, number: int, luck: Luck) -> None:
        """Ask an execution to end, whether it runs or waits."""
        under_way = sorted({*job.status.running, *job.status.retries, *job.status.manual})
        if not under_way:
            return
        execution = under_way[number % len(under_way)]
        change = control.cancel(job, execution, None, self.now)
        if change is None:
            return
        self.keep(*change.records)
        revision = self.write(change.job, expected=self.stored.revision)
        assert revision is not None
        self.ledger.cancelled(job, execution)
        self.hint(plan_hint(change.job, revision), luck)

    def backfill(self, job: Job, back: timedelta, luck: Luck) -> None:
        """Ask for all instants of the last so many seconds, but for what is asked for or recorded already."""
        if job.spec.fixed_delay is not None:
            return
        instants = instants_to_run(job, self.now - back, self.now, self.now)
        recorded = {execution for execution, _ in self.records}
        wanted = {
            execution: due
            for execution, due in instants.items()
            if not is_under_way(job, execution) and execution not in recorded
        }
        if not wanted:
            return
        asked = backfill(job, wanted, self.now)
        revision = self.write(asked, expected=self.stored.revision)
        assert revision is not None
        self.ledger.asked |= wanted.keys()
        for execution in wanted:
            self.hint(manual_hint(asked, execution, revision), luck)

    # What the reconciler does

    def sweep(self, luck: Luck) -> bool:
        """Repair all that seems to be amiss, at once; say whether anything was."""
        stored, repaired = self.read(luck), False
        sight = Sight(now=self.now, grace=timedelta(0), live=self.live)
        plan = self.schedules.get("plan")
        strays = (inspect_schedule(pending(message), self.stored) for message in self.schedules.values())
        known = {message.hint.key for message in self.deliveries} | {
            execution_of(message.hint) for message in self.deliveries
        }
        known |= {message.hint.key for subject, message in self.schedules.items() if subject != "plan"}
        scheduled = None if plan is None else pending(plan)
        for repair in [*inspect(stored, scheduled, sight), *filter(None, strays)]:
            match repair:
                case Delete(seq=seq):
                    gone = [subject for subject, message in self.schedules.items() if message.seq == seq]
                    for subject in gone:
                        del self.schedules[subject]
                case Rehint(hint=hint) if not {hint.key, execution_of(hint)} & known:
                    self.hint(hint, Luck.FINE, repair=True)
                    repaired = True
        return repaired

    # Calm: everyone lives, nothing is lost, and what is owed is done

    def calm(self) -> None:
        takes, self.takes = self.takes, timedelta(0)  # else a job whose runs take longer than its period never rests
        self.live.intersection_update({replica.lease for replica in self.replicas})
        for _ in range(400):
            while self.go_on():
                pass
            self.sweep(Luck.FINE)
            if self.fire() or self.ready():
                continue
            if self.is_quiet():
                self.takes = takes
                return
            self.now = min((at for at in self.waiting() if at > self.now), default=self.now + NOW_AND_AGAIN)
        raise AssertionError("what is owed is not done")

    def go_on(self, luck: Luck = Luck.FINE) -> bool:
        """Take all hints that are there and let every task do a step; False if there was nothing to do."""
        self.fire()
        for number, message in enumerate(self.ready()):
            self.take(self.replicas[number % 3], message)
        tasks = [(replica, task) for replica in self.replicas for task in replica.tasks]
        return sum(self.step(replica, task, luck) for replica, task in tasks) > 0

    def ready(self) -> list[Message]:
        """List the deliveries that a replica could take now."""
        return [message for message in self.deliveries if message.at <= self.now and not message.held]

    def is_quiet(self) -> bool:
        job = self.job
        if any(replica.tasks for replica in self.replicas):
            return False
        if job is None:
            return True
        hint = plan_hint(job, 0)
        overdue = hint is not None and hint.start <= self.now
        return (
            not overdue
            and not job.status.manual
            and not any(self.must_end(job, e) for e in job.status.running.values())
        )

    def must_end(self, job: Job, entry: Running) -> bool:
        return entry.manual or job.spec.is_active(self.now)

    def waiting(self) -> Iterator[datetime]:
        """Yield the instants at which something is to be done."""
        for message in (*self.deliveries, *self.schedules.values()):
            if not message.held:
                yield message.at
        for replica in self.replicas:
            for task in replica.tasks:
                if task.until is not None:
                    yield task.until


def pending(message: Message) -> Pending:
    return Pending(seq=message.seq, subject="", job=JOB, hint=message.hint, at=message.at)


def execution_of(hint: Hint) -> str:
    return f"{hint.uid}-{hint.n}" if isinstance(hint, PlanHint) else hint.execution
