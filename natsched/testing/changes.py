"""What was asked of a job, and when: the definitions that its runs are held against."""

from dataclasses import dataclass
from datetime import datetime

from natsched.core.jobs import Job, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A write that made a job what `spec` says, or removed it (None), between `asked` and `returned`.

    A change is a creation, an update, a pause or a resume (both are in the spec), or a removal. It came into force
    at some moment from the one on at which it was asked for to that at which the call returned; with `returned` None
    the call never did, and nobody knows whether it was made. The spec's `generation` orders those that raced.
    """

    job: str
    uid: str
    spec: Spec | None
    asked: datetime
    returned: datetime | None

    @classmethod
    def to(cls, document: Job, *, asked: datetime, returned: datetime | None) -> "Change":
        """Return the change that left this document."""
        return cls(job=document.id, uid=document.uid, spec=document.spec, asked=asked, returned=returned)

    @classmethod
    def away(cls, document: Job, *, asked: datetime, returned: datetime | None) -> "Change":
        """Return the removal of the job with this document."""
        return cls(job=document.id, uid=document.uid, spec=None, asked=asked, returned=returned)
