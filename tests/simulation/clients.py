"""The clients of a simulation: each asks for what was drawn, at the drawn moment, whatever the others do."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from natsched.client.client import Client
from natsched.core.changes import latest
from natsched.core.executions import TRANSITIONS, Event
from natsched.errors import NatschedError
from natsched.protocol.changing import Settings
from natsched.protocol.operations import Operations
from tests.simulation.drawing import Step
from tests.simulation.journal import Asked, Journal
from tests.simulation.link import LinkedBackend
from tests.virtual import VirtualClock

_FAILED: Final = [status for status, row in TRANSITIONS.items() if Event.RETRY_BY_HAND in row]


class Asker:
    """One client's program."""

    def __init__(
        self, backend: LinkedBackend, clock: VirtualClock, journal: Journal, random: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._operations = Operations(backend, clock, Settings(), random)
        self._client = Client(backend, self._operations, clock)

    async def ask(self, step: Step) -> None:
        """Ask for it and note the answer."""
        asked = Asked(step=step, asked=self._clock.now())
        self._journal.asked.append(asked)
        try:
            asked.answer = await self._do(step.what, **step.given)
        except NatschedError as error:
            asked.error = type(error).__name__
        asked.answered = self._clock.now()

    async def _do(self, what: str, job: str, **given: Any) -> Any:
        match what:
            case "ensures":
                spec = self._operations.spec(given["schedule"], given["options"])
                return (await self._operations.ensure(job, spec))[1]
            case "submits":
                await self._client.submit_job(
                    job, given["schedule"], unique_key=given["unique_key"], **given["options"]
                )
            case "pauses":
                return await self._operations.pause(job, given["until"])
            case "resumes":
                return await self._operations.resume(job)
            case "triggers":
                return await self._operations.executions.trigger(job)
            case "removes":
                await self._operations.remove(job)
            case "cancels":
                view = await self._client.get_job(job)
                for execution in view.running[:1]:
                    await self._client.cancel_execution(job, execution)
            case "retries":
                await self._retry(job)
            case "backfills":
                now = self._clock.now()
                await self._client.backfill_job(job, now - timedelta(seconds=given["seconds"]), now)
        return None

    async def _retry(self, job: str) -> None:
        for record in await self._client.executions(job, status=_FAILED, limit=1):
            last = latest(await self._client.executions(job, record.execution))
            await self._client.retry_execution(job, last.execution)
