"""What a client can make of what was read: a job, or an error that says why not."""

from natsched.core.jobs import Job, Stored, Unreadable
from natsched.errors import DocumentError, JobNotFound


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
