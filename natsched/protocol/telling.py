"""What is said between replicas and clients besides documents, under keys that end by themselves.

Telling a replica to look at a document: it runs something there that is to end, to wait, to go on or to begin.

The document decides, as everywhere; the word is a key below `control.<replica>` which the replica follows. It ends by
itself. One that is lost is said again by the reconciler.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from natsched.core.jobs import JobId, LeaseId
from natsched.errors import BackendError
from natsched.logs import get_logger
from natsched.ports import Locks

CONTROL: Final = "control"
LEASES: Final = "lease"
CHECK_IN: Final = "check_in"
_LIFE: Final = timedelta(minutes=1)
_BEFORE_JOB: Final = 3

log = get_logger(__name__)


async def tell(locks: Locks, leases: Iterable[LeaseId], job: JobId) -> None:
    """Tell the holders of these leases to look at the job."""
    for lease in leases:
        await locks.put(f"{CONTROL}{lease.removeprefix(LEASES)}.{job}", b"", ttl=_LIFE)


async def tell_if_possible(locks: Locks, leases: Iterable[LeaseId], job: JobId) -> None:
    """Tell them without holding up what the write owes besides: a word that is lost is the reconciler's."""
    try:
        await tell(locks, leases, job)
    except BackendError as error:
        log.info("a word to replicas waits for the sweep", action="not_told", job=job, error=str(error))


def note(job: str, execution: str, what: str) -> str:
    """Return the key of what an execution says of itself: how far it is, or the data that it keeps."""
    return f"note.{job}.{execution}.{what}"


def job_of(key: str) -> JobId:
    """Return the job that such a key names: `control.<replica>.<incarnation>.<job>`."""
    return JobId(key.split(".", _BEFORE_JOB)[-1])
