"""Running one claimed execution: wait for its instant, call its handler, say how it ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Final, Literal, TypeAlias

from natsched.clock import Clock
from natsched.core.deadlines import Allowance, allowance, too_late
from natsched.core.endings import Outcome
from natsched.core.executions import Event, ExecutionStatus, advance
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId, Running
from natsched.core.retries import Failure, judged
from natsched.core.schedules import Once
from natsched.daemon.controlling import Notes, RunControl
from natsched.daemon.events import Observer, RunStarted
from natsched.daemon.leasing import Leaseholder
from natsched.daemon.options import ReplicaOptions
from natsched.targets.calling import Caller, Ended
from natsched.targets.context import Context
from natsched.targets.finding import Targets
from natsched.targets.hooking import HookedRun
from natsched.targets.lines import LineKeeper, Lines
from natsched.targets.registry import Handler, is_async
from natsched.traces import Attributes, Carrier, running

StopReason: TypeAlias = Literal["shutdown", "lease lost", "cancelled"]

THREAD_GRACE: Final = 5.0
"""Seconds that a plain function has to look at `ctx.cancelled` and return, before its thread is left to itself."""

_EVENTS: Final = {
    ExecutionStatus.OK: Event.SUCCEED,
    ExecutionStatus.FAILED: Event.FAIL,
    ExecutionStatus.TIMED_OUT: Event.EXCEED_TIMEOUT,
}


def traced_from(job: Job, entry: Running) -> Carrier:
    """Return the trace that an attempt goes on with: of its first attempt, or of who asked for this very run."""
    if entry.trace or entry.manual or not isinstance(job.spec.schedule, Once):
        return entry.trace
    return job.status.trace


def _attributes(context: Context) -> Attributes:
    return {
        "natsched.job": context.job_id,
        "natsched.execution": context.execution_id,
        "natsched.attempt": context.attempt,
        "natsched.due": context.due.isoformat(),
    }


@dataclass(slots=True, eq=False)
class Active:
    """An execution in this replica's hands, from before its claim to its end.

    Within a `with` block `stop` cancels its task, and the block ends that. An `anyio.CancelScope` would do the same
    for 10 us a run, a twentieth of all that a run costs.
    """

    job: JobId
    execution: ExecutionId
    lease: LeaseId
    task: asyncio.Task[None]
    control: RunControl
    executing: bool = False
    stopped: StopReason | None = None
    handler: Handler | None = None
    why: str | None = None
    _asked: bool = False
    started_at: datetime | None = None
    hooks: HookedRun | None = None
    lines: Lines | None = None
    followers: list[Callable[[], None]] = field(default_factory=list)
    """What to call when it is over, whatever its end."""

    def stop(self, reason: StopReason, why: str | None = None) -> None:
        """Cancel the handler; what follows depends on the reason. A thread is first given the time to see it."""
        if self.stopped is not None:
            return
        self.stopped, self.why = reason, why
        self.control.stop()
        if not self.executing:
            return
        if self.handler is None or is_async(self.handler) or reason == "lease lost":
            self._cancel()
        else:
            self.task.get_loop().call_later(THREAD_GRACE, self._cancel)

    def _cancel(self) -> None:
        if self.executing and not self._asked:
            self._asked = True
            self.task.cancel(self.stopped)

    def __enter__(self) -> None:
        self.executing = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.executing = False
        return self._asked and self.task.uncancel() == 0 and kind is asyncio.CancelledError

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
        notes: Notes,
        lines: LineKeeper,
        observe: Observer,
        *,
        options: ReplicaOptions,
        is_primary: Callable[[], bool],
    ) -> None:
        self._targets = targets
        self._caller = Caller(threads=options.thread_limit)
        self._clock = clock
        self._leaseholder = leaseholder
        self._notes = notes
        self._lines = lines
        self._observe = observe
        self._replica = options.name
        self._is_primary = is_primary

    def handler_of(self, job: Job) -> Handler | None:
        """Return what the job runs, if this replica has it."""
        return self._targets.find(job.spec)

    def active(self, job: Job, execution: ExecutionId, entry: Running, task: asyncio.Task[None]) -> Active:
        """Take an execution in hand, to be run by that task."""
        control = RunControl(self._notes, job.id, execution, paused=entry.paused)
        assert entry.lease is not None
        return Active(job.id, execution, entry.lease, task, control)

    async def execute(
        self, active: Active, handler: Handler, job: Job, entry: Running, start: datetime
    ) -> Outcome | None:
        """Run and return the outcome; None if this replica may not go on with it."""
        outcome = await self._execute(active, handler, job, entry, start)
        if outcome is None:
            return None
        if active.hooks is not None and active.hooks.errors:
            outcome = replace(outcome, hooks=active.hooks.errors)
        if active.lines is not None and active.lines.some:
            outcome = replace(outcome, logs=active.lines.kept())
        return outcome

    async def _execute(
        self, active: Active, handler: Handler, job: Job, entry: Running, start: datetime
    ) -> Outcome | None:
        with active:
            if active.stopped is None:
                await self._wait(start)
                outcome = await self._run(active, handler, job, entry, start)
                if not active.control.was_seen:  # it ended by itself
                    return outcome
        match active.stopped:
            case "shutdown":
                return self._interrupted(active, job)
            case "cancelled":
                return self._stopped(active, Event.CANCEL, active.why)
            case _:
                return None

    async def _run(
        self, active: Active, handler: Handler, job: Job, entry: Running, start: datetime
    ) -> Outcome | None:
        if not self.may_go_on(active):
            return None
        started_at = self._clock.now()
        if entry.deadline is not None and entry.deadline <= started_at:
            return judged(job, active.execution, entry, too_late(started_at), Failure())
        active.started_at, active.handler = started_at, handler
        allowed = allowance(job.spec, entry, started_at)
        context = self._context(active, job, entry, started_at, allowed.until)
        lag = (started_at - start).total_seconds()
        self._observe(
            RunStarted(job=job.id, execution=active.execution, attempt=entry.attempt, due=entry.due, lag=lag)
        )
        with (
            running(
                f"run {job.id}", partial(_attributes, context), traced_from(job, entry), job.status.trace
            ) as span,
            self._lines.open(context) as active.lines,
        ):
            ended = await self._call_with_hooks(active, handler, context, allowed)
            span.end(ended.status.value, ended.error)
        outcome = self._outcome(active, ended, started_at)
        if ended.status is ExecutionStatus.OK:
            return outcome
        outcome = replace(outcome, trace=entry.trace if entry.attempt > 1 and entry.trace else span.carrier)
        return judged(job, active.execution, entry, outcome, ended.failure)

    def may_go_on(self, active: Active) -> bool:
        """Whether the lease under which the execution was claimed still lives."""
        return self._leaseholder.is_held() and self._leaseholder.lease == active.lease

    async def _wait(self, start: datetime) -> None:
        while (pause := (start - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(pause)

    async def _call_with_hooks(self, active: Active, handler: Handler, context: Context, allowed: Allowance) -> Ended:
        hooks = self._targets.hooks_of(active.job)
        if not hooks:
            return await self._call(active, handler, context, allowed)
        active.hooks = active.control.hooks = HookedRun(hooks, self._caller, context)
        call = partial(self._call, active, handler, context, allowed)
        return await active.hooks.run(call, lambda: active.why or active.stopped)

    async def _call(self, active: Active, handler: Handler, context: Context, allowed: Allowance) -> Ended:
        active.control.has_deadline = allowed.is_cut
        try:
            ended = await self._caller.call(handler, context, timeout=allowed.seconds, control=active.control)
        except asyncio.CancelledError:
            if active.task.cancelling():
                raise
            return Ended(status=ExecutionStatus.FAILED, error="it cancelled itself")
        if allowed.is_cut and ended.status is ExecutionStatus.TIMED_OUT:
            return replace(ended, error=f"its deadline passed: it ran for {allowed.seconds:.3g} s")
        return ended

    def _outcome(self, active: Active, ended: Ended, started_at: datetime) -> Outcome:
        return Outcome(
            status=advance(ExecutionStatus.RUNNING, _EVENTS[ended.status]),
            started_at=started_at,
            ended_at=self._clock.now(),
            reason=ended.reason,
            error=ended.error,
            traceback=ended.traceback,
            result=ended.result,
            check_in=active.control.last,
        )

    def failed(self, reason: str) -> Outcome:
        """Return the outcome of an execution that cannot be run here, and nowhere else."""
        status = advance(ExecutionStatus.RUNNING, Event.FAIL)
        return Outcome(status=status, started_at=None, ended_at=self._clock.now(), error=reason)

    def _interrupted(self, active: Active, job: Job) -> Outcome:
        last = job.spec.never_taken_over
        return self._stopped(active, Event.CANCEL if last else Event.SHUT_DOWN, "its replica shut down")

    def _stopped(self, active: Active, event: Event, reason: str | None) -> Outcome:
        return Outcome(
            status=advance(ExecutionStatus.RUNNING, event),
            started_at=active.started_at,
            ended_at=self._clock.now(),
            reason=reason,
            check_in=active.control.last,
        )

    def _context(
        self, active: Active, job: Job, entry: Running, started_at: datetime, until: datetime | None
    ) -> Context:
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
            fence=entry.token,
            deadline=until,
            is_primary=self._is_primary(),
            cause=entry.cause,
            control=active.control,
        )
