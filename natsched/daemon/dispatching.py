"""From a hint that is due to a run that is finished.

Theory of operation. A delivery is held in the agenda until just before its start. Then the documents of all
that start within the next moments are read in one request, and each hint is decided on purely; the decision
is done as it says, which for most hints means: claim by compare-and-set, hint the next plan, wait for the
instant, run, record, finish, acknowledge. Each hint is a task of its own from here on, so the requests of
many are under way at once while those of one stay in order. A lost compare-and-set leads back to a read from
the leader and a new decision; an outage leads back to the queue. The tasks are asyncio's own: starting one
costs a seventh of what it costs in anyio's group, which would be a tenth of a run.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final, assert_never

from anyio.lowlevel import checkpoint

from natsched.clock import Clock
from natsched.core.deciding import decide
from natsched.core.decisions import (
    AskLeases,
    AskRecord,
    AskReplicas,
    Await,
    Claim,
    Decision,
    Displace,
    Drop,
    HandBack,
    PassOn,
    Question,
    ReadAgain,
    Settle,
    Wait,
)
from natsched.core.facts import Facts
from natsched.core.jobs import RANKS, Job, JobId, Stored, Unreadable
from natsched.daemon.agenda import Agenda, Held
from natsched.daemon.claiming import Claimer
from natsched.daemon.events import HandedBack, HintDropped, Observer, Quarantined
from natsched.daemon.keeping import Keeper
from natsched.daemon.leasing import Leaseholder
from natsched.daemon.settling import Settler
from natsched.errors import BackendError, DocumentError, Unavailable
from natsched.logs import get_logger
from natsched.ports import Backend
from natsched.protocol.leases import is_alive, primary, serving
from natsched.protocol.telling import tell_if_possible

_OUTAGE_PAUSE: Final = timedelta(seconds=1)

log = get_logger(__name__)


class Dispatcher:
    """Takes hints from the agenda and sees each to its end."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        agenda: Agenda,
        keeper: Keeper,
        leaseholder: Leaseholder,
        claimer: Claimer,
        settler: Settler,
        observe: Observer,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._agenda = agenda
        self._keeper = keeper
        self._leaseholder = leaseholder
        self._claimer = claimer
        self._settler = settler
        self._observe = observe
        self._draining = False

    async def run(self, runs: asyncio.TaskGroup) -> None:
        """Dispatch for ever; the runs are tasks of `runs`, which outlives this."""
        while True:
            batch = await self._agenda.due()
            runs.create_task(self._begin(batch, runs), name="read a batch of jobs")
            await checkpoint()  # what is already begun may be due: let it have its turn

    def drain(self) -> None:
        """Claim nothing more and hand back what is held."""
        self._draining = True
        for held in self._agenda.empty():
            self._keeper.nak(held)

    async def _begin(self, helds: list[Held], runs: asyncio.TaskGroup) -> None:
        known: list[tuple[Held, Stored]] = []
        unknown: list[Held] = []
        for held in helds:
            recalled = self._settler.recall.of(held.hint)
            if recalled is None:
                unknown.append(held)
            else:
                known.append((held, recalled))
        self._start(known, runs, recalled=True)
        if not unknown:
            return
        ids: list[JobId] = list({held.hint.job: None for held in unknown})
        try:
            found = await self._backend.jobs.read_many(ids)
        except BackendError as error:
            log.warning("the jobs could not be read; trying again", action="read_failed", error=str(error))
            again = self._clock.now() + _OUTAGE_PAUSE
            for held in unknown:
                self._agenda.put_off(held, again)
            return
        self._start([(held, found[held.hint.job]) for held in unknown], runs)

    def _start(self, read: list[tuple[Held, Stored]], runs: asyncio.TaskGroup, *, recalled: bool = False) -> None:
        """See to each; those of a higher priority get their places first."""
        for held, stored in sorted(read, key=_rank) if len(read) > 1 else read:
            runs.create_task(self._handle(held, stored, recalled), name=held.hint.job)

    async def _handle(self, held: Held, stored: Stored, recalled: bool) -> None:
        """See one hint to its end; whatever goes wrong is this hint's alone, and it comes again."""
        try:
            await self._see_through(held, stored, recalled)
        except DocumentError as error:  # of a job that follows
            self._observe(HandedBack(job=held.hint.job, reason=error.message))
            self._keeper.nak(held, _OUTAGE_PAUSE)
        except Unavailable as error:
            log.warning("no answer; the hint goes back", action="outage", job=held.hint.job, error=str(error))
            self._keeper.nak(held, _OUTAGE_PAUSE)
        except Exception:
            log.exception("a hint could not be handled; it goes back", action="hint_failed", job=held.hint.job)
            self._keeper.nak(held, _OUTAGE_PAUSE)

    async def _see_through(self, held: Held, stored: Stored, recalled: bool) -> None:
        facts = Facts(
            now=self._clock.now(),
            stored=stored,
            lease=self._leaseholder.lease,
            recalled=recalled,
            mine=self._claimer.active,
            delivery=held.delivery.seq,
            deliveries=held.delivery.attempts,
        )
        while True:
            if self._draining:
                self._keeper.nak(held)
                return
            if await self._do(held, facts, decide(held.hint, facts)):
                return
            facts.now, facts.lease = self._clock.now(), self._leaseholder.lease

    async def _do(self, held: Held, facts: Facts, decision: Decision) -> bool:
        """Do as decided; False if it is to be decided anew."""
        match decision:
            case Settle() if decision.records and not facts.authoritative:
                await self._read_again(held, facts)  # what is recalled may be old, and its records would be false
            case HandBack() if facts.recalled:
                await self._read_again(held, facts)  # what it waits for may be long over
            case Claim() | Settle() | PassOn():
                if await self._write(held, facts.stored, decision):
                    return True
                await self._read_again(held, facts)
            case Displace():
                if not await self._settler.displace(facts, decision):
                    await self._read_again(held, facts)
            case ReadAgain():
                await self._read_again(held, facts)
            case AskLeases() | AskReplicas() | AskRecord():
                await self._ask(held, facts, decision)
            case Wait() | Await() | HandBack() | Drop():
                await self._hear(held, facts)
                self._leave(held, facts.stored, decision)
                return True
            case other:
                assert_never(other)
        return False

    async def _write(self, held: Held, stored: Stored, decision: Claim | Settle | PassOn) -> bool:
        """Write what was decided and see to what follows; False if somebody else wrote before."""
        if isinstance(decision, Claim):
            return await self._claimer.claim(held, stored, decision)
        if isinstance(decision, Settle):
            done = await self._settler.settle(stored, decision)
        else:
            done = await self._settler.pass_on(stored, decision)
        if done:
            self._keeper.ack(held)
        return done

    async def _hear(self, held: Held, facts: Facts) -> None:
        """Have this replica hear again of a part of its own that it does not run: it was busy claiming it itself."""
        job, execution = facts.stored.job, held.hint.execution
        if not isinstance(job, Job):
            return
        entry = job.status.running.get(execution)
        if entry is None or not entry.assigned or entry.lease != facts.lease or execution in self._claimer.active:
            return
        await tell_if_possible(self._backend.locks, (facts.lease,), job.id)

    def _leave(self, held: Held, stored: Stored, decision: Wait | Await | HandBack | Drop) -> None:
        """Put a hint off, hand it back or be done with it; nothing is written."""
        if isinstance(stored.job, Unreadable):
            self._observe(Quarantined(job=held.hint.job, reason=stored.job.reason))
        match decision:
            case Wait(until=until):
                self._settler.recall.forget(held.hint.job)  # by then it is to be read, with all that wait as long
                self._agenda.put_off(held, until)
            case Await(execution=execution):
                self._claimer.active[execution].followers.append(partial(self._again, held))
            case HandBack(delay=delay, reason=reason):
                self._observe(HandedBack(job=held.hint.job, reason=reason))
                self._keeper.nak(held, delay)
            case Drop(reason=reason):
                self._observe(HintDropped(job=held.hint.job, reason=reason))
                self._keeper.ack(held)

    def _again(self, held: Held) -> None:
        """Decide anew on a hint that waited for a run here."""
        if self._draining:
            self._keeper.nak(held)
        else:
            self._agenda.add(held)

    async def _read_again(self, held: Held, facts: Facts) -> None:
        facts.read_again(await self._backend.jobs.read(held.hint.job))

    async def _ask(self, held: Held, facts: Facts, question: Question) -> None:
        match question:
            case AskLeases(leases=leases):
                answers = {lease: await is_alive(self._backend.locks, lease) for lease in leases}
                facts.leases = {**facts.leases, **answers}
            case AskReplicas(queue=queue):
                facts.replicas = await serving(self._backend.locks, queue)
                facts.primary = await primary(self._backend.locks)
            case AskRecord(execution=execution, attempt=attempt):
                facts.record = await self._backend.history.get(held.hint.job, execution, attempt)
                facts.record_known = True


def _rank(read: tuple[Held, Stored]) -> int:
    job = read[1].job
    return RANKS[job.spec.priority] if isinstance(job, Job) else 0
