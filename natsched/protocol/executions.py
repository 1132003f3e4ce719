"""What can be done to executions: ask for runs, try again, end, hold."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from natsched.core import changes, control, ids, specs
from natsched.core.jobs import ExecutionId, Job
from natsched.core.owed import manual_hint, owed, takeover_hint
from natsched.errors import Conflict, JobNotFound
from natsched.protocol.backfilling import Backfiller
from natsched.protocol.changing import Changer
from natsched.protocol.reading import existing, is_known
from natsched.protocol.telling import tell
from natsched.traces import carrier


class ExecutionOperations:
    """The operations on executions; `random` gives 80 random bits for new ids."""

    def __init__(self, changer: Changer, random: Callable[[], int]) -> None:
        self._changer: Final = changer
        self._backend = changer.backend
        self._clock = changer.clock
        self._hinter = changer.hinter
        self._random = random

    async def trigger(self, job_id: str, payload: JsonValue = None) -> ExecutionId:
        """Ask for a run now, whatever the plan; also of a paused or completed job."""
        checked = ids.job_id(job_id)
        specs.check_payload(payload, field="payload")
        new, is_asked = ids.ulid(self._clock.now(), self._random()), False

        async def once() -> ExecutionId:
            nonlocal is_asked
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                execution = ids.manual_execution(job.uid, new)
                if is_asked and await is_known(self._backend, job, execution):  # the answer was lost
                    if execution in job.status.manual:
                        await self._hinter.hint(manual_hint(job, execution, stored.revision))
                    return execution
                asked = changes.trigger(job, execution, payload, self._clock.now(), trace=carrier())
                is_asked = True
                try:
                    revision = await self._changer.write(asked, expected=stored.revision)
                except Conflict:
                    continue
                await self._hinter.hint(manual_hint(asked, execution, revision))
                return execution

        return await self._changer.in_budget(once)

    async def retry(self, job_id: str, execution: str) -> int:
        """Ask for one more attempt, now, of an execution that failed, and return its number.

        The job's retry policy has no say in it; one that is running or waiting for an attempt is left as it is.
        """
        checked, wanted, asked = ids.job_id(job_id), ExecutionId(execution), 0

        async def once() -> int:
            nonlocal asked
            while True:
                stored = await self._backend.jobs.read(checked)
                job = existing(stored)
                under_way = job.status.retries.get(wanted) or job.status.running.get(wanted)
                if under_way is not None:
                    return under_way.attempt
                records = await self._backend.history.list(checked, wanted)
                if not records:
                    raise JobNotFound(f"there is no record of an execution {wanted} of {checked}", job=checked)
                last = changes.latest(records)
                if 0 < asked <= last.attempt:  # the answer was lost, and it has ended by now
                    return asked
                again = changes.retry(job, records, self._clock.now())
                asked = again.status.retries[wanted].attempt
                await self._changer.herald.tell_retry(job.spec, last, self._clock.now())
                try:
                    revision = await self._changer.write(again, expected=stored.revision)
                except Conflict:
                    continue
                for hint in owed(job, again, revision):
                    await self._hinter.hint(hint)
                return asked

        return await self._changer.in_budget(once)

    async def backfill(
        self, job_id: str, start: datetime, end: datetime, *, dry_run: bool = False
    ) -> Mapping[ExecutionId, datetime]:
        """Ask for a run of each instant in [start, end) that is not asked for yet, and return those.

        With `dry_run` they are only told.
        """
        checked, backfiller = (
            ids.job_id(job_id),
            Backfiller(self._backend, self._clock, self._changer.write, self._hinter),
        )
        return await self._changer.in_budget(lambda: backfiller.ask(checked, start, end, dry_run=dry_run))

    async def cancel(self, job_id: str, execution: str, reason: str | None = None) -> Job:
        """Ask an execution to end; one that waits to begin is taken out, one whose replica is gone ends as it is."""
        wanted = ExecutionId(execution)
        job = await self._changer.change(job_id, lambda job, now: control.cancel(job, wanted, reason, now))
        await self._tell(job, wanted)
        return job

    async def hold(self, job_id: str, execution: str, *, paused: bool) -> Job:
        """Have a running execution wait at its next checkpoint, or go on."""
        wanted = ExecutionId(execution)

        def change(job: Job, _now: datetime) -> changes.Change | None:
            held = control.hold(job, wanted, paused=paused)
            return None if held is None else changes.Change(job=held)

        job = await self._changer.change(job_id, change)
        await self._tell(job, wanted)
        return job

    async def _tell(self, job: Job, execution: ExecutionId) -> None:
        """Tell the execution's replica; if it is gone, have another see to the execution."""
        stored = await self._backend.jobs.read(job.id)
        entry = stored.job.status.running.get(execution) if isinstance(stored.job, Job) else None
        if entry is None or not isinstance(stored.job, Job):
            return
        if entry.lease is None or await self._backend.locks.get(entry.lease) is None:
            await self._hinter.repair(takeover_hint(stored.job, execution, entry, stored.revision))
        else:
            await tell(self._backend.locks, (entry.lease,), job.id)
