"""Every error natsched raises.

    NatschedError
    ├── ConfigError                     bad settings, an unknown key, an app that cannot be imported
    ├── ScheduleError (also ValueError) a schedule that can never be valid
    ├── DocumentError                   bytes or values that are no valid document: says field and reason
    ├── JobError
    │   ├── JobNotFound
    │   ├── JobExists
    │   ├── JobOwned                    another file or service defines the job
    │   ├── JobChanged                  a job is not any more what was shown
    │   ├── InvalidJob (also ValueError)    a job that cannot be written: says field and cure
    │   └── TooManyEntries                  a bounded part of a job's status is full
    ├── HandlerError
    │   ├── HandlerNotFound
    │   ├── DuplicateHandler
    │   └── ExecutionFailed             an awaited execution did not end well
    └── BackendError
        ├── Unavailable                 no answer in time: trying again helps
        ├── Conflict                    a compare-and-set was lost
        ├── ServerTooOld
        ├── TopologyConflict            an existing stream or bucket contradicts the configuration
        ├── PermissionDenied
        └── LockLost

The docstring of a class is its default message.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class NatschedError(Exception):
    """Something in natsched went wrong."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None, **details: Any) -> None:  # noqa: ANN401 - free-form context
        self.message = message or (type(self).__doc__ or "").strip()
        self.details: Mapping[str, Any] = details
        super().__init__(self.message)


class ConfigError(NatschedError):
    """The configuration is not valid: `natsched config check` says where."""

    exit_code = 2


class ScheduleError(NatschedError, ValueError):
    """The schedule can never be valid."""

    exit_code = 2


class DocumentError(NatschedError):
    """The document cannot be read: it was written by another program or a newer natsched."""

    def __init__(self, message: str | None = None, *, field: str = "", reason: str = "") -> None:
        super().__init__(message or (f"{field}: {reason}" if field else reason or None), field=field, reason=reason)
        self.field = field
        self.reason = reason


class JobError(NatschedError):
    """The job cannot be worked on."""


class JobNotFound(JobError):
    """There is no job of that id: `natsched job list` shows those that exist."""

    exit_code = 4


class JobExists(JobError):
    """A job of that id exists: take another id, or `ensure_job` to update it."""

    exit_code = 5


class JobOwned(JobError):
    """Another file or service defines the job: take it over only if that one lets go of it."""

    exit_code = 5


class JobChanged(JobError):
    """The job is not any more what was shown: look again."""

    exit_code = 5


class InvalidJob(JobError, ValueError):
    """The job cannot be written as given."""

    exit_code = 2

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field and message else message, field=field)
        self.field = field


class TooManyEntries(JobError):
    """The job has too many executions waiting: let some end first."""


class HandlerError(NatschedError):
    """A handler cannot be used."""


class HandlerNotFound(HandlerError):
    """No handler of that name is registered in this replica: does its `--app` declare it?"""


class DuplicateHandler(HandlerError):
    """A handler or job of that name is registered already: names must differ."""

    exit_code = 2


class ExecutionFailed(HandlerError):
    """The execution did not end with success."""


class BackendError(NatschedError):
    """The backend did not do as asked."""

    exit_code = 3


class Unavailable(BackendError):
    """NATS did not answer in time: is it up, and reachable from here? Trying again helps."""


class Conflict(BackendError):
    """Somebody else wrote first."""

    exit_code = 5


class ServerTooOld(BackendError):
    """natsched needs nats-server 2.12 or newer (message schedules): upgrade the server."""


class TopologyConflict(BackendError):
    """A stream, bucket or consumer that exists contradicts the configuration."""


class PermissionDenied(BackendError):
    """NATS denies this user the operation: see the sample permissions in `deploy/`."""


class LockLost(BackendError):
    """The lock went to another replica before the work under it was done."""
