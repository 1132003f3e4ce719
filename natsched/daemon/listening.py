"""Listening to what this replica is told: what it runs is to end, to wait or to go on, or it has a part to run."""

import asyncio
from typing import Final

import anyio

from natsched.clock import Clock
from natsched.core.jobs import Job, JobId, Stored
from natsched.daemon.claiming import Claimer
from natsched.daemon.leasing import Leaseholder
from natsched.errors import BackendError
from natsched.logs import get_logger
from natsched.ports import Backend
from natsched.protocol.telling import CONTROL, job_of

_AGAIN: Final = 30.0

log: Final = get_logger(__name__)


class Listener:
    """Looks at the documents of jobs that it is told of, and does as they say."""

    def __init__(
        self, backend: Backend, clock: Clock, leaseholder: Leaseholder, claimer: Claimer, *, replica: str
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._leaseholder = leaseholder
        self._claimer = claimer
        self._replica = replica
        self._draining = False

    def drain(self) -> None:
        """Begin nothing more, and decline what is still given; what runs may still be cancelled."""
        self._draining = True

    async def run(self, runs: asyncio.TaskGroup) -> None:
        """Listen for ever; what it is given to run are tasks of `runs`."""
        async with (
            self._backend.locks.settings(f"{CONTROL}.{self._replica}") as keys,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._look_after_paused, runs, name="look after what is paused")
            async for key in keys:
                jobs = {job_of(key)} if key else {active.job for active in self._claimer.active.values()}
                for job in jobs:
                    await self._look(job, runs)

    async def _look_after_paused(self, runs: asyncio.TaskGroup) -> None:
        """Look now and then whether what is paused here is to go on: no document tells that the word was lost."""
        while True:
            await self._clock.sleep(_AGAIN)
            for job in {active.job for active in self._claimer.active.values() if active.control.is_paused}:
                await self._look(job, runs)

    async def _look(self, job: JobId, runs: asyncio.TaskGroup) -> None:
        try:
            stored = await self._backend.jobs.read(job)
        except BackendError as error:
            log.warning("what is asked of a run waits for the sweep", action="look_failed", job=job, error=str(error))
            return
        if isinstance(stored.job, Job):
            await self._do_as(stored, stored.job, runs)

    async def _do_as(self, stored: Stored, job: Job, runs: asyncio.TaskGroup) -> None:
        for execution, entry in job.status.running.items():
            if entry.lease != self._leaseholder.lease:
                continue
            active = self._claimer.active.get(execution)
            if active is None:
                if entry.assigned and self._draining:
                    await self._claimer.decline(job, stored.revision, execution)
                elif entry.assigned:
                    runs.create_task(self._claimer.join(job, stored.revision, execution), name=job.id)
            elif entry.cancel is not None:
                active.stop("cancelled", entry.cancel)
            else:
                active.control.pause(paused=entry.paused)
