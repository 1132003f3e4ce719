"""A replica: it owns every service, and the order in which they start and stop.

Start: the server's time, the lease, the jobs that are declared and those of files, then the deliveries. Stop: no more
deliveries, hand back what is held, let runs end for as long as the grace allows, cancel the rest, end the lease.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from natsched.clock import ServerClock
from natsched.config import FileOfJobs
from natsched.daemon.agenda import Held
from natsched.daemon.condition import Condition
from natsched.daemon.events import Event, HintDropped, Observer, Quarantined
from natsched.daemon.files import apply_files
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.services import Services
from natsched.daemon.webhooks import Poster
from natsched.errors import DocumentError
from natsched.logs import get_logger
from natsched.ports import Backend, Delivery, Intake
from natsched.protocol.applying import Applier
from natsched.protocol.operations import Operations
from natsched.targets.posting import HttpPoster
from natsched.targets.registry import Registry

_RESTART_PAUSE: Final = 1.0
_LAST_WRITES: Final = 5.0
_FARTHEST: Final = timedelta(hours=1)
"""How much earlier than by the lead a hint may come: it is held until its start, and takes a place for as long."""

log = get_logger(__name__)


class Replica:
    """One of any number of equal replicas."""

    def __init__(
        self,
        backend: Backend,
        clock: ServerClock,
        options: ReplicaOptions,
        registry: Registry,
        operations: Operations,
        random: Callable[[], int],
        observers: tuple[Observer, ...] = (),
        *,
        poster: Poster | None = None,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._options = options = replace(options, queues=dict(options.queues))
        self._registry = registry
        self._operations = operations
        self._observers = observers
        self._stopping = anyio.Event()
        self._at_once = anyio.Event()
        self._serving = False
        self._intakes: TaskGroup | None = None
        self._pulls: dict[str, anyio.CancelScope] = {}
        self._services = Services(
            backend,
            clock,
            options,
            registry,
            operations.chains,
            random,
            self._observe,
            poster=poster or HttpPoster(),
        )

    def stop(self) -> None:
        """Begin to stop; said a second time: stop at once."""
        if self._stopping.is_set():
            self._at_once.set()
        self._stopping.set()

    def serve(self, queues: Mapping[str, int]) -> None:
        """Work on these queues from now on, so many runs of each at once; what is here of others goes on."""
        mine = self._options.queues
        assert isinstance(mine, dict), "a copy of its own, which all its services look at"
        mine.clear()
        mine.update(queues)
        self._services.claimer.resize(queues)
        for queue in self._pulls.keys() - queues.keys():
            self._pulls.pop(queue).cancel()
        if self._intakes is not None and not self._stopping.is_set():
            for queue in queues.keys() - self._pulls.keys():
                self._begin_to_pull(self._intakes, queue)
        self._services.keeper.stir()

    async def apply(self, files: Sequence[FileOfJobs], *, prune: bool) -> None:
        """Apply files of jobs."""
        await apply_files(Applier(self._backend, self._operations), files, prune=prune)

    def condition(self) -> Condition:
        """Tell how it is now."""
        parts = self._services
        return Condition(
            name=self._options.name,
            lease=parts.leaseholder.lease,
            is_serving=self._serving,
            is_stopping=self._stopping.is_set(),
            is_primary=parts.reconciler.is_primary,
            is_leased=parts.leaseholder.is_held(),
            lost_for=parts.leaseholder.lost_for(),
            silent_for=parts.timekeeper.silent_for(),
            offset=self._clock.offset(),
            held=len(parts.keeper),
            places=parts.claimer.places(),
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until told to stop; started when it takes deliveries."""
        parts = self._services
        with parts.lines.listening():
            await self._run(task_status)

    async def _run(self, task_status: TaskStatus[None]) -> None:
        parts = self._services
        await parts.timekeeper.start()
        async with anyio.create_task_group() as services:
            await services.start(parts.leaseholder.run, name="hold the lease")
            for name, service in parts.lasting():
                services.start_soon(self._supervise, name, service)
            await self._ensure_declared()
            await self._apply_files()
            async with asyncio.TaskGroup() as runs:
                services.start_soon(self._supervise, "listen", lambda: parts.listener.run(runs))
                async with anyio.create_task_group() as intakes:
                    self._intakes = intakes
                    for queue in self._options.queues:
                        self._begin_to_pull(intakes, queue)
                    intakes.start_soon(self._supervise, "dispatch", lambda: parts.dispatcher.run(runs))
                    intakes.start_soon(self._supervise, "reconcile", parts.reconciler.run)
                    self._serving = True
                    task_status.started()
                    await self._stopping.wait()
                    log.info("stopping", action="stopping", running=len(parts.claimer.active))
                    self._serving = False
                    intakes.cancel_scope.cancel()
                parts.dispatcher.drain()
                parts.listener.drain()
                services.start_soon(self._stop_in_time)
            await parts.leaseholder.give_up()
            await parts.targets.close()
            await parts.courier.drain()
            services.cancel_scope.cancel()

    async def _stop_in_time(self) -> None:
        with anyio.move_on_after(self._options.shutdown_grace.total_seconds()):
            await self._at_once.wait()
        self._services.claimer.stop("shutdown")
        await self._clock.sleep(_LAST_WRITES)
        self._services.claimer.abandon()

    async def _ensure_declared(self) -> None:
        for declared in self._registry.declared():
            spec = self._operations.spec(declared.schedule, declared.options)
            try:
                outcome, _ = await self._operations.ensure(declared.id, spec)
            except DocumentError as error:  # it is left where it is, and the other jobs go on
                self._observe(Quarantined(job=declared.id, reason=error.message))
                continue
            log.info("declared job", action="job_declared", job=declared.id, outcome=outcome)

    async def _apply_files(self) -> None:
        try:
            await self.apply(self._options.files, prune=self._options.prune)
        except DocumentError as error:
            log.error("the files of jobs are not applied", action="files_failed", reason=error.message)

    def _begin_to_pull(self, intakes: TaskGroup, queue: str) -> None:
        scope = self._pulls[queue] = anyio.CancelScope()

        async def pull() -> None:
            with scope:
                await self._supervise(f"take in {queue}", lambda: self._pull(queue))

        intakes.start_soon(pull)

    async def _pull(self, queue: str) -> None:
        async with self._backend.intake(queue) as intake, anyio.create_task_group() as tasks:
            tasks.start_soon(self._make_room, intake, queue)
            while True:
                for delivery in await intake.receive():
                    self._take_in(delivery)
                intake.want(self._room(queue))

    async def _make_room(self, intake: Intake, queue: str) -> None:
        """Ask for deliveries whenever there is room again."""
        while True:
            intake.want(self._room(queue))
            await self._services.keeper.changed()

    def _room(self, queue: str) -> int:
        if not self._services.claimer.has_slots(queue):
            return 0
        return max(0, self._options.prefetch - len(self._services.keeper))

    def _take_in(self, delivery: Delivery) -> None:
        hint = delivery.hint
        if hint is None:
            log.warning("a message is no hint of natsched", action="bad_hint", problem=delivery.problem)
            self._observe(HintDropped(job="", reason=delivery.problem or "unreadable"))
            delivery.ack()
            return
        if hint.start - self._clock.now() > self._options.lead + _FARTHEST:
            log.warning("a hint came far too early", action="early_hint", job=hint.job, start=hint.start)
            self._observe(HintDropped(job=hint.job, reason="it came far too early"))
            delivery.ack()
            return
        held = Held(delivery, hint)
        self._services.keeper.keep(held)
        self._services.agenda.add(held)

    async def _supervise(self, name: str, service: Callable[[], Awaitable[None]]) -> None:
        """Run a service for ever; one that fails is a fault to be told, and is started again."""
        while True:
            try:
                await service()
            except Exception:
                log.exception("a service failed and is started again", action="service_failed", service=name)
            await self._clock.sleep(_RESTART_PAUSE)

    def _observe(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed", action="observer_failed")
