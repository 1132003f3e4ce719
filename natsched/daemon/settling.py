"""Doing what was decided where nothing runs here: settle a plan, ask runs to end, pass on an end."""

from typing import Final

from natsched.core.changes import passed_on
from natsched.core.decisions import Displace, PassOn, Settle
from natsched.core.facts import Facts
from natsched.core.jobs import Job, JobId, Stored
from natsched.core.owed import new_runs
from natsched.core.planning import plan_hint
from natsched.daemon.books import Books, log_pause
from natsched.daemon.events import Observer, RunLeftOut
from natsched.errors import Conflict, DocumentError
from natsched.logs import get_logger
from natsched.ports import Locks
from natsched.protocol.chaining import Chains
from natsched.protocol.telling import tell_if_possible

log = get_logger(__name__)


class Settler:
    """Writes, and sees to what the write owes; each method is False if somebody else wrote before."""

    def __init__(self, locks: Locks, books: Books, chains: Chains, observe: Observer) -> None:
        self._locks = locks
        self._books = books
        self._chains = chains
        self._observe = observe
        self.recall: Final = books.recall

    async def settle(self, stored: Stored, settle: Settle) -> bool:
        """Write what became of a plan or an execution that does not run here."""
        if settle.finished is not None:
            await self._books.tell(settle.job, settle.finished)
            log.info(
                "run finished from its record: its replica died before it could",
                action="run_finished",
                job=settle.job.id,
                execution=settle.finished.execution,
                attempt=settle.finished.attempt,
                due=settle.finished.due.isoformat(),
                status=settle.finished.status.value,
            )
        after = None if settle.finished is None else settle.finished.attempt
        await self._books.keep(settle.job, *settle.records, after=after)
        try:
            revision = await self._books.write(settle.job, expected=stored.revision)
        except Conflict:
            return False
        for record in settle.records:
            self._observe(RunLeftOut(record=record))
        await tell_if_possible(self._locks, settle.tell, settle.job.id)
        await self._books.owe(plan_hint(settle.job, revision))
        if isinstance(stored.job, Job):
            log_pause(stored.job, settle.job)
            for hint in new_runs(stored.job, settle.job, revision):
                await self._books.owe(hint)
        return True

    async def displace(self, facts: Facts, displace: Displace) -> bool:
        """Ask runs to end; what is known of the document is then what was written."""
        try:
            revision = await self._books.write(displace.job, expected=facts.stored.revision)
        except Conflict:
            return False
        await tell_if_possible(self._locks, displace.tell, displace.job.id)
        facts.stored = Stored(id=displace.job.id, job=displace.job, revision=revision)
        return True

    async def pass_on(self, stored: Stored, pass_on: PassOn) -> bool:
        """Start the jobs that follow, each once; those that do not follow any more are forgotten."""
        job, execution = pass_on.job, pass_on.execution
        gone = [other for other in job.status.followers if not await self._follows(other, pass_on)]
        try:
            await self._books.write(passed_on(job, execution, gone), expected=stored.revision)
        except Conflict:
            return False
        return True

    async def _follows(self, other: JobId, pass_on: PassOn) -> bool:
        """Start a job that follows; False if it does not any more. DocumentError: it cannot be read by now."""
        try:
            return await self._chains.start(other, pass_on.job, pass_on.execution)
        except DocumentError as error:
            if pass_on.patient:
                raise
            log.warning(
                "a job does not run after another: it cannot be read",
                action="chain_broken",
                job=other,
                execution=pass_on.execution,
                reason=error.message,
            )
            return True
