"""The documents that this replica wrote last.

A hint whose document was written here a moment ago needs no read: what is recalled is at least as new as the
hint, and if somebody else wrote since, the compare-and-set is lost and leads to a read from the leader. So it
can be out of date, but nothing can come of that, as long as nothing waits for what only this document tells; it
is bounded, and nobody else needs it.
"""

from natsched.core.hints import Hint
from natsched.core.jobs import Job, JobId, Stored


class Recall:
    """The last `size` documents written."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._written: dict[JobId, Stored] = {}

    def note(self, job: Job, revision: int) -> None:
        """Note a document that was just written; the one noted first is forgotten for it."""
        self._written.pop(job.id, None)
        self._written[job.id] = Stored(id=job.id, job=job, revision=revision)
        if len(self._written) > self._size:
            del self._written[next(iter(self._written))]

    def forget(self, job: JobId) -> None:
        self._written.pop(job, None)

    def of(self, hint: Hint) -> Stored | None:
        """Return the hint's document if what is known of it is not older than the hint."""
        found = self._written.get(hint.job)
        return found if found is not None and found.revision >= hint.revision else None
