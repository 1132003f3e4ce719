"""What a client can make of what was read: a job, or an error that says why not."""

from natsched.core.backfilling import is_under_way
from natsched.core.jobs import ExecutionId, Job, Stored, Unreadable
from natsched.errors import DocumentError, JobNotFound
from natsched.ports import Backend


async def is_known(backend: Backend, job: Job, execution: ExecutionId) -> bool:
    """Whether the execution waits, runs, is to be tried again or passed on, or has a record."""
    if is_under_way(job, execution) or execution in job.status.handovers:
        return True
    return bool(await backend.history.list(job.id, execution, limit=1))


def existing(stored: Stored) -> Job:
    """Return the job, or raise `JobNotFound`."""
    if stored.job is None:
        raise JobNotFound(f"there is no job {stored.id}", job=stored.id)
    return readable(stored)


def readable(stored: Stored) -> Job:
    """Return the job that is there."""
    if isinstance(stored.job, Unreadable):
        raise DocumentError(f"the document of {stored.id} cannot be read: {stored.job.reason}", field=stored.id)
    assert stored.job is not None
    return stored.job
