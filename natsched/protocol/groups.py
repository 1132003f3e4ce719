"""One at a time of the jobs with one concurrency key, over all documents.

The key `group.<key>` in the locks bucket names who holds the group: an execution and the lease it was claimed under.
It is taken before the claim and given back after the end. One that was not given back is free once its execution has
ended, or the lease is over; no clock decides that, but for a claim that may still be written.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from natsched.clock import Clock
from natsched.core.jobs import ExecutionId, Job, JobId, LeaseId
from natsched.core.planning import awaits_claim
from natsched.errors import BackendError, Conflict
from natsched.logs import get_logger
from natsched.ports import Backend, Lock

GROUPS: Final = "group"
_LIFE: Final = timedelta(days=365)
"""Longer than any run: who holds a group does not renew it."""

_CLAIMING: Final = timedelta(seconds=30)
"""How long a group may be held before the claim is seen in the holder's document."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a group, since when."""

    job: JobId
    execution: ExecutionId
    lease: LeaseId
    since: str


class Groups:
    """Takes groups and gives them back."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    async def enter(self, key: str, job: JobId, execution: ExecutionId, lease: LeaseId) -> Lock | None:
        """Take the group for an execution that is about to be claimed; None if another has it."""
        now = self._clock.now()
        mine = Holder(job=job, execution=execution, lease=lease, since=now.isoformat())
        name, value = f"{GROUPS}.{key}", json.dumps(asdict(mine)).encode()
        locks = self._backend.locks
        while True:
            try:
                return await locks.create(name, value, ttl=_LIFE)
            except Conflict:
                found = await locks.get(name)
            if found is None:
                continue
            holder = _holder(found[0])
            is_mine = holder is not None and (holder.execution, holder.lease) == (execution, lease)
            if holder is not None and not is_mine and await self._is_held(holder, now):
                return None
            try:
                return await locks.renew(Lock(key=name, revision=found[1]), value, ttl=_LIFE)
            except Conflict:
                continue

    async def leave(self, lock: Lock) -> None:
        """Give a group back; one that cannot be is free once it is seen that its execution ended."""
        try:
            await self._backend.locks.release(lock)
        except BackendError as error:
            log.info("a group is left to the next", action="group_left", key=lock.key, error=str(error))

    async def _is_held(self, holder: Holder, now: datetime) -> bool:
        if await self._backend.locks.get(holder.lease) is None:
            return False
        job = (await self._backend.jobs.read(holder.job)).job
        if isinstance(job, Job):
            entry = job.status.running.get(holder.execution)
            if entry is not None and entry.lease == holder.lease:
                return True
            if not awaits_claim(job, holder.execution):
                return False
        return now - datetime.fromisoformat(holder.since) < _CLAIMING


def _holder(value: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(value))
    except (ValueError, TypeError):
        return None
