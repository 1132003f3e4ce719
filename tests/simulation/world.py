"""One seed, one history: real replicas, reconciler, clients over the server in memory, on virtual time, under fire.

All that befalls them was drawn before (`drawing`), and virtual time makes two runs of one drawing the same run. What
is known afterwards is the journal: which handler was called and returned when, what clients asked for, what the
server wrote, and what befell whom.
"""

import gc
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Final
from unittest import mock

import anyio
from anyio.abc import TaskGroup

from natsched.client.records import Question, find
from natsched.core.jobs import Job
from natsched.memory.backend import MemoryBackend
from natsched.testing import Absence, Outage
from tests.simulation.clients import Asker
from tests.simulation.drawing import CLIENTS, SERVER, SLOTS, Drawn, Step
from tests.simulation.journal import Journal
from tests.simulation.link import Link, LinkedBackend
from tests.simulation.replicas import PARTS, Member, MemberClock
from tests.simulation.server import FickleHints, Ledger, LoopTimers, hand_out_again
from tests.virtual import EPOCH, VirtualClock, run_virtual

_COUNTED: Final = {"read is old": "read", "word lost": "word", "delivery held back": "delivery"}


class Simulation:
    """What is drawn, made to happen."""

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.clock = VirtualClock()
        self.ledger = Ledger(self.clock)
        self.journal = Journal(self.ledger)
        self._numbers = itertools.count(1)
        self._members: dict[str, Member] = {}
        self._links: list[Link] = []
        self._made: set[str] = set(PARTS) if drawn.provisioned else set()
        self._strikes = self._by_number()
        self._counts: dict[str, Counter[str]] = {slot: Counter() for slot in SLOTS}
        self._unfit_since: datetime | None = EPOCH
        self._away_times = 0
        self._tasks: TaskGroup
        self._server: MemoryBackend

    def run(self) -> Journal:
        gc.disable()
        try:
            run_virtual(self._run)
        finally:
            gc.enable()
        return self.journal

    async def _run(self) -> None:
        with mock.patch("natsched.memory.backend.Timers", LoopTimers):
            self._server = MemoryBackend(self.clock)
        fickle = self._make_fickle()
        async with self._server, anyio.create_task_group() as self._tasks:
            askers = {name: self._asker(name) for name in CLIENTS}
            for slot in SLOTS:
                self._start(slot)
            for step in sorted((step for step in self.drawn.steps if not step.nth), key=lambda step: step.at):
                await anyio.sleep(max(0.0, step.at - self.clock.monotonic()))
                if step.whom in askers:
                    self._tasks.start_soon(askers[step.whom].ask, step)
                else:
                    self._befall(step)
            await anyio.sleep(max(0.0, self.drawn.trouble - self.clock.monotonic()))
            for link in self._links:
                link.strikes = {}
            fickle.fates = {}
            await anyio.sleep(self.drawn.calm)
            await self._look()
            for link in self._links:
                link.die()
            self._tasks.cancel_scope.cancel()

    def _make_fickle(self) -> FickleHints:
        streams, hints = self._server.streams, self._server.hints
        fates = {nth: step for (_, nth), step in self._strikes.get(SERVER, {}).items()}
        fickle = FickleHints(
            streams.hints,
            hints._timers,
            hints._window,
            firing_delay=timedelta(seconds=self.drawn.firing_delay),
            fates=fates,
            befall=partial(self._note, SERVER),
        )
        self._server.hints = fickle
        return fickle

    def _by_number(self) -> dict[str, dict[tuple[str, int], Step]]:
        found: dict[str, dict[tuple[str, int], Step]] = {}
        for step in self.drawn.steps:
            if step.nth:
                found.setdefault(step.whom, {})[_COUNTED.get(step.what, "question"), step.nth] = step
        return found

    def _asker(self, name: str) -> Asker:
        link = Link(name, Random(f"{self.drawn.seed} {name}"), self._strikes.get(name, {}))
        link.befall = partial(self._note, name)
        self._links.append(link)
        return Asker(LinkedBackend(self._server, link, self.ledger), self.clock, self.journal, self._number)

    async def _look(self) -> None:
        """Note what is there in the end; what was running before or after the look at the documents is running."""
        journal = self.journal
        journal.active = self._active()
        async for chunk in self._server.jobs.scan():
            journal.jobs |= {stored.id: stored.job for stored in chunk if isinstance(stored.job, Job)}
        journal.active |= self._active()
        journal.records = list(await find(self._server, Question(limit=1_000_000), self.clock.now()))
        journal.hints = list(await self._server.hints.deliveries())
        async for pending in self._server.hints.walk():
            journal.hints += pending
        journal.ended = self.clock.now()

    def _active(self) -> set[str]:
        return {
            execution
            for member in self._members.values()
            if not member.link.dead
            for execution in member.replica._services.claimer.active
        }

    # What befalls whom

    def _start(self, slot: str) -> None:
        strikes = self._strikes.get(slot, {}) if self.clock.monotonic() < self.drawn.trouble else {}
        number = next(self._numbers)
        name = f"{slot}-{number}"
        random = Random(f"{self.drawn.seed} {name}")
        link = Link(name, random, strikes, self._counts[slot])
        clock = MemberClock(link, offset=self.drawn.offsets.get(slot, 0.0), drift=random.uniform(-2e-5, 2e-5))
        backend = LinkedBackend(self._server, link, self.ledger)
        member = Member(name, slot, link, backend, clock, self.journal, self._made, self._watch)
        member.build(self._number)
        link.befall = partial(self._befall_member, member)
        for _ in range(self._away_times):
            link.cut(there=True, back=True)
        self._links.append(link)
        self._members[slot] = member
        self._tasks.start_soon(member.live, name=name)

    def _number(self) -> int:
        return next(self._numbers)

    def _note(self, whom: str, step: Step) -> None:
        self.journal.befallen.append((self.clock.now(), whom, step))

    def _befall(self, step: Step) -> None:
        if step.whom == SERVER:
            self._note(SERVER, step)
            hand_out_again(self._server)
            if step.what == "restarts":
                self._tasks.start_soon(self._restart, step.lasts)
            return
        for member in self._members.values():
            if step.whom == member.slot or (step.whom == "primary" and member.is_primary):
                self._befall_member(member, step)
                return

    def _befall_member(self, member: Member, step: Step) -> None:
        if member.link.dead:
            return
        self._note(member.name, step)
        match step.what.split():
            case ["dies", *_]:
                self._kill(member)
                self._tasks.start_soon(self._follow, member.slot, step.lasts)
            case ["shuts", "down"]:
                member.replica.stop()
                self._tasks.start_soon(self._follow_stopped, member, step.lasts)
            case ["freezes", *_]:
                self._away(member, step.lasts, frozen=True)
                member.link.freeze()
                self._tasks.start_soon(self._later, step.lasts, member.link.thaw)
            case ["is", "cut", "off", *which]:
                self._away(member, step.lasts, frozen=False)
                there, back = which != ["back"], which != ["there"]
                member.link.cut(there=there, back=back)
                self._tasks.start_soon(self._later, step.lasts, partial(member.link.mend, there=there, back=back))
            case ["has", *_]:
                member.clock.set(step.given["by"])
        self._watch()

    def _away(self, member: Member, lasts: float, *, frozen: bool) -> None:
        now = self.clock.now()
        back = now + timedelta(seconds=lasts)
        self.journal.absences.append(Absence(replica=member.name, at=now, back=back, frozen=frozen))
        # what it was handed up to then, and did not hear of, comes to others only after a while
        self.journal.absences.append(Absence(replica=member.name, at=back, back=back, frozen=False))
        member.link.touched = max(member.link.touched, self.clock.monotonic() + lasts)

    def _kill(self, member: Member) -> None:
        self.journal.absences.append(Absence(replica=member.name, at=self.clock.now()))
        member.link.die()
        member.scope.cancel()

    async def _later(self, seconds: float, then: Callable[[], None]) -> None:
        await anyio.sleep(seconds)
        then()
        self._watch()

    async def _follow(self, slot: str, seconds: float) -> None:
        """Start a replica in the place of one that went."""
        await anyio.sleep(seconds)
        self._start(slot)

    async def _follow_stopped(self, member: Member, seconds: float) -> None:
        with anyio.move_on_after(15):
            await member.over.wait()
        if self._members[member.slot] is member:
            if not member.link.dead:
                self._kill(member)
            await self._follow(member.slot, seconds)

    async def _restart(self, lasts: float) -> None:
        now = self.clock.now()
        self.journal.outages.append(Outage(at=now, back=now + timedelta(seconds=lasts)))
        self._away_times += 1
        for link in self._links:
            link.cut(there=True, back=True)
            link.touched = max(link.touched, self.clock.monotonic() + lasts)
        await anyio.sleep(lasts)
        self._away_times -= 1
        for link in self._links:
            link.mend(there=True, back=True)
        hand_out_again(self._server)

    def _watch(self) -> None:
        """Note the times in which there is no replica that could do anything."""
        now = self.clock.now()
        if any(member.is_fit for member in self._members.values()):
            if self._unfit_since is not None:
                self.journal.outages.append(Outage(at=self._unfit_since, back=now))
                self._unfit_since = None
        elif self._unfit_since is None:
            self._unfit_since = now
