"""Writing documents where an answer may be lost: a write without an answer is unknown, not failed.

It is repeated under the same compare-and-set; if that is lost, the leader tells whether the first one had
come through: then the very document lies there.
"""

from datetime import timedelta

from natsched.clock import Clock
from natsched.core.jobs import Job
from natsched.errors import Conflict, Unavailable
from natsched.ports import JobStore
from natsched.protocol.retrying import Retry


async def write_job(
    jobs: JobStore, job: Job, *, expected: int, ttl: timedelta | None, retry: Retry, clock: Clock
) -> int:
    """Write by compare-and-set and return the revision; `Conflict` only if somebody else wrote."""
    pauses = retry.pauses()
    unknown = False
    while True:
        try:
            return await jobs.write(job, expected=expected, ttl=ttl)
        except Conflict:
            if unknown and (stored := await jobs.read(job.id)).job == job:
                return stored.revision
            raise
        except Unavailable:
            if (pause := next(pauses, None)) is None:
                raise
            unknown = True
            await clock.sleep(pause)
