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
from natsched.daemon import dispatching, executing
from natsched.memory.jobs import MemoryJobs

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


MUTATIONS: Final[Mapping[str, tuple[Mutation, int]]] = {
    "the plan number": (plan_number_ignored, 2),
    "the revision of a write": (revision_ignored, 0),
    "the leases of others": (leases_ignored, 0),
    "the own lease": (lease_not_looked_at, 13),
    "overlap at a takeover": (overlap_ignored_at_takeovers, 10),
    "overlap at a claim": (overlap_ignored, 0),
    "taking over": (dead_executions_left, 0),
    "the reconciler": (debts_forgotten, 0),
}
"""By the rule that is switched off: how, and a seed whose history it breaks."""
