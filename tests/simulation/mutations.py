"""Rules of the protocol, each switched off: what the simulation is to notice."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from unittest import mock

from natsched.core import deciding, takeovers
from natsched.core.decisions import Drop
from natsched.core.facts import Facts
from natsched.core.hints import Hint, PlanHint
from natsched.core.jobs import Job
from natsched.daemon import books, claiming, dispatching, executing
from natsched.errors import Conflict
from natsched.memory.jobs import MemoryJobs
from natsched.protocol import hinting

Mutation = Callable[[], AbstractContextManager[object]]


@contextmanager
def plan_number_ignored() -> Iterator[None]:
    """A hint counts whatever plan it is of."""
    decide = deciding.decide

    def careless(hint: Hint, facts: Facts) -> Any:
        job = facts.stored.job
        if isinstance(hint, PlanHint) and isinstance(job, Job) and hint.uid == job.uid:
            hint = replace(hint, n=job.status.plan.n)
        return decide(hint, facts)

    with mock.patch.object(dispatching, "decide", careless):
        yield


@contextmanager
def revision_ignored() -> Iterator[None]:
    """A document is written over whatever was written since it was read."""
    write = MemoryJobs.write

    async def careless(self: MemoryJobs, job: Job, *, expected: int, ttl: timedelta | None = None) -> int:
        last = await self.read(job.id)
        return await write(self, job, expected=last.revision, ttl=ttl)

    with mock.patch.object(MemoryJobs, "write", careless):
        yield


def old_reads_trusted() -> AbstractContextManager[object]:
    """A hint is dropped on a read that may be older than it."""
    return mock.patch.object(deciding, "_may_be_older", return_value=False)


def token_ignored() -> AbstractContextManager[object]:
    """A run is finished whoever has it by now."""
    return mock.patch.object(books, "holds", lambda job, execution, *, token, lease: execution in job.status.running)


def leases_ignored() -> AbstractContextManager[object]:
    """Every lease counts as over."""

    async def over(locks: object, lease: object) -> bool:
        return False

    return mock.patch.object(dispatching, "is_alive", over)


def lease_not_looked_at() -> AbstractContextManager[object]:
    """A replica goes on with what it has, however long it was away."""
    return mock.patch.object(executing.Executor, "may_go_on", return_value=True)


def overlap_ignored_at_takeovers() -> AbstractContextManager[object]:
    """What died is taken over beside whatever runs by now."""
    return mock.patch.object(takeovers, "is_full", return_value=False)


def overlap_ignored() -> AbstractContextManager[object]:
    """A run is claimed beside whatever runs."""
    return mock.patch.object(deciding, "is_full", return_value=False)


@contextmanager
def newer_hints_replaced() -> Iterator[None]:
    """A hint takes the place of whatever lies on its schedule."""

    async def careless(self: hinting.Hinter, hint: Hint) -> None:
        at, expected = hint.start - self._lead, 0
        for _ in range(20):
            try:
                await self._stream.schedule(hint, at, expected=expected)
            except Conflict:
                (found,) = await self._stream.scheduled([hint])
                expected = 0 if found is None else found.seq
            else:
                return

    with mock.patch.object(hinting.Hinter, "_schedule", careless):
        yield


@contextmanager
def repairs_are_deliveries() -> Iterator[None]:
    """A repair goes straight among the deliveries, where the window may swallow it."""

    async def careless(self: hinting.Hinter, hint: Hint) -> None:
        await self._stream.deliver(hint)

    with mock.patch.object(hinting.Hinter, "repair", careless):
        yield


def lost_claims_given_up() -> AbstractContextManager[object]:
    """A claim without an answer counts as lost, even if it was written."""

    async def none(self: object, claim: object) -> None:
        return None

    return mock.patch.object(claiming.Claimer, "_own", none)


def dead_executions_left() -> AbstractContextManager[object]:
    """Nobody looks for what the dead were running."""
    return mock.patch.object(takeovers, "_take_over", return_value=Drop(reason="left"))


def debts_forgotten() -> AbstractContextManager[object]:
    """No reconciler: a hint that is lost stays lost."""
    from natsched.daemon.reconciling import Reconciler

    async def nothing(self: Reconciler) -> None:
        while True:
            await self._clock.sleep(3600)

    return mock.patch.object(Reconciler, "run", nothing)


MUTATIONS: Final[Mapping[str, Mutation]] = {
    mutation.__name__: mutation
    for mutation in (
        plan_number_ignored,
        revision_ignored,
        old_reads_trusted,
        token_ignored,
        leases_ignored,
        lease_not_looked_at,
        overlap_ignored_at_takeovers,
        overlap_ignored,
        newer_hints_replaced,
        repairs_are_deliveries,
        lost_claims_given_up,
        dead_executions_left,
        debts_forgotten,
    )
}
