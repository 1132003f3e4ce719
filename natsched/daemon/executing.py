"""Running one claimed execution: wait for its instant, call its handler, say how it ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Final, Literal, TypeAlias

from natsched.clock import Clock
from natsched.core.endings import Outcome
from natsched.core.executions import Event, ExecutionStatus, advance
from natsched.core.jobs import ExecutionId, Job, LeaseId, Running
from natsched.core.retries import judged
from natsched.daemon.events import Observer, RunStarted
from natsched.daemon.leasing import Leaseholder
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.finding import Targets
from natsched.targets.hooking import HookedRun
from natsched.targets.registry import Handler

StopReason: TypeAlias = Literal["shutdown", "lease lost"]

_EVENTS: Final = {
    ExecutionStatus.OK: Event.SUCCEED,
    ExecutionStatus.FAILED: Event.FAIL,
    ExecutionStatus.TIMED_OUT: Event.EXCEED_TIMEOUT,
}


@dataclass(slots=True, eq=False)
class Active:
    """An execution in this replica's hands, from before its claim to its end.

    Within a `with` block `stop` cancels its task, and the block ends that. An `anyio.CancelScope` would do the same
    for 10 us a run, a twentieth of all that a run costs.
    """

    execution: ExecutionId
    lease: LeaseId
    task: asyncio.Task[None]
    executing: bool = False
    stopped: StopReason | None = None
    started_at: datetime | None = None
    hooks: HookedRun | None = None
    followers: list[Callable[[], None]] = field(default_factory=list)
    """What to call when it is over, whatever its end."""

    def stop(self, reason: StopReason) -> None:
        """Cancel the handler; what follows depends on the reason."""
        if self.stopped is None:
            self.stopped = reason
            if self.executing:
                self.task.cancel(reason)

    def __enter__(self) -> None:
        self.executing = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.executing = False
        return self.stopped is not None and self.task.uncancel() == 0 and kind is asyncio.CancelledError

    def abandon(self) -> None:
        """Cancel whatever is still being done for it."""
        self.task.cancel()


class Executor:
    """Calls handlers on the instant."""

    def __init__(
        self,
        targets: Targets,
        clock: Clock,
        leaseholder: Leaseholder,
        observe: Observer,
        *,
        replica: str,
        threads: int,
    ) -> None:
        self._targets = targets
        self._caller = Caller(threads=threads)
        self._clock = clock
        self._leaseholder = leaseholder
        self._observe = observe
        self._replica = replica

    def handler_of(self, job: Job) -> Handler | None:
        """Return what the job runs, if this replica has it."""
        return self._targets.find(job.spec)

    async def execute(
        self, active: Active, handler: Handler, job: Job, entry: Running, start: datetime
    ) -> Outcome | None:
        """Run and return the outcome; None if this replica may not go on with it."""
        outcome = await self._execute(active, handler, job, entry, start)
        if outcome is None or active.hooks is None or not active.hooks.errors:
            return outcome
        return replace(outcome, hooks=active.hooks.errors)

    async def _execute(
        self, active: Active, handler: Handler, job: Job, entry: Running, start: datetime
    ) -> Outcome | None:
        with active:
            if active.stopped is None:
                await self._wait(start)
                return await self._run(active, handler, job, entry, start)
        if active.stopped == "shutdown":
            return self._interrupted(job, active.started_at)
        return None

    async def _run(
        self, active: Active, handler: Handler, job: Job, entry: Running, start: datetime
    ) -> Outcome | None:
        if not self.may_go_on(active):
            return None
        active.started_at = started_at = self._clock.now()
        context = self._context(active, job, entry, started_at)
        lag = (started_at - start).total_seconds()
        self._observe(
            RunStarted(job=job.id, execution=active.execution, attempt=entry.attempt, due=entry.due, lag=lag)
        )
        hooks = self._targets.hooks_of(job.id)
        if hooks:
            active.hooks = HookedRun(hooks, self._caller, context)
            call = partial(self._call, active, handler, context, job.spec.timeout)
            ended = await active.hooks.run(call, lambda: active.stopped)
        else:
            ended = await self._call(active, handler, context, job.spec.timeout)
        outcome = self._outcome(ended, started_at)
        if ended.status is ExecutionStatus.OK:
            return outcome
        return judged(job, active.execution, entry, outcome, ended.failure)

    def may_go_on(self, active: Active) -> bool:
        """Whether the lease under which the execution was claimed still lives."""
        return self._leaseholder.is_held() and self._leaseholder.lease == active.lease

    async def _wait(self, start: datetime) -> None:
        while (pause := (start - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(pause)

    async def _call(self, active: Active, handler: Handler, context: Context, limit: float | None) -> Ended:
        try:
            return await self._caller.call(handler, context, timeout=limit)
        except asyncio.CancelledError:
            if active.task.cancelling():
                raise
            return Ended(status=ExecutionStatus.FAILED, error="it cancelled itself")

    def _outcome(self, ended: Ended, started_at: datetime) -> Outcome:
        return Outcome(
            status=advance(ExecutionStatus.RUNNING, _EVENTS[ended.status]),
            started_at=started_at,
            ended_at=self._clock.now(),
            reason=ended.reason,
            error=ended.error,
            traceback=ended.traceback,
            result=ended.result,
        )

    def _interrupted(self, job: Job, started_at: datetime | None) -> Outcome:
        last = job.spec.delivery == "at_most_once"
        event = Event.CANCEL if last else Event.SHUT_DOWN
        return Outcome(
            status=advance(ExecutionStatus.RUNNING, event),
            started_at=started_at,
            ended_at=self._clock.now(),
            reason="its replica shut down",
        )

    def _context(self, active: Active, job: Job, entry: Running, started_at: datetime) -> Context:
        payload = entry.payload if entry.manual and entry.payload is not None else job.spec.payload
        return Context(
            job_id=job.id,
            execution_id=active.execution,
            due=entry.due,
            started_at=started_at,
            attempt=entry.attempt,
            metadata=job.spec.metadata,
            payload=payload,
            replica=self._replica,
            manual=entry.manual,
        )
