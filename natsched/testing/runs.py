"""The log of runs: when attempts of executions began and ended, and what did not run."""

from dataclasses import dataclass
from datetime import datetime

from natsched.core.executions import ExecutionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An attempt of an execution began.

    `due` is its instant, `replica` names the process (one that starts anew is another). `generation`, that of the
    spec it ran by, and `claimed`, when it was claimed, may be left out where they are not known.
    """

    job: str
    execution: str
    attempt: int
    due: datetime
    at: datetime
    replica: str | None = None
    generation: int | None = None
    claimed: datetime | None = None

    @property
    def uid(self) -> str:
        """The uid of the job that it is a run of."""
        return uid_of(self.execution)

    @property
    def base(self) -> str:
        """What the parts of one execution, of a job that every replica runs, have in common."""
        return "-".join(self.execution.split("-", 2)[:2])

    @property
    def is_scheduled(self) -> bool:
        """Whether it is a run of an instant of the schedule, and not one that was asked for."""
        return is_scheduled(self.execution)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """An attempt came to its end; `retry_at` is when the next one is to start, if there is to be one."""

    job: str
    execution: str
    attempt: int
    at: datetime
    status: ExecutionStatus = ExecutionStatus.OK
    replica: str | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The record, made at `at`, of `number` instants from `first` to `last` that did not run, and why.

    With an `attempt` above 0 it is the record of an execution that was claimed and never began.
    """

    job: str
    execution: str
    first: datetime
    last: datetime
    status: ExecutionStatus
    at: datetime
    number: int = 1
    exact: bool = True
    attempt: int = 0
    reason: str | None = None

    @property
    def uid(self) -> str:
        """The uid of the job that it tells of."""
        return uid_of(self.execution)

    def covers(self, due: datetime) -> bool:
        """Whether it tells of that instant."""
        return is_scheduled(self.execution) and self.first <= due <= self.last


def uid_of(execution: str) -> str:
    """Return the uid of the job that an execution is one of."""
    return execution.partition("-")[0]


def is_scheduled(execution: str) -> bool:
    """Whether the execution is one of the schedule's: those that were asked for are named by a letter.

    The record of a pause tells of instants of the schedule too.
    """
    name = execution.split("-", 2)[1:2]
    return bool(name) and name[0].removeprefix("p").isdigit()
