"""Jobs that run after others: when one starts, and what a job that is followed owes at its ends.

A followed job's document names its followers, and each end that is still to be told to them (`handovers`): so an
end is told although its replica dies. The follower's own schedule decides; a name without one is taken out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from hashlib import blake2b
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar

from natsched.core.executions import FAILED_FOR_GOOD, Cause, ExecutionStatus
from natsched.errors import ScheduleError

Ending: TypeAlias = Literal["success", "failure", "any"]
T = TypeVar("T")

ENDINGS: Final[Mapping[Ending, frozenset[ExecutionStatus]]] = {
    "success": frozenset({ExecutionStatus.OK}),
    "failure": FAILED_FOR_GOOD,
    "any": FAILED_FOR_GOOD | {ExecutionStatus.OK, ExecutionStatus.CANCELLED},
}


@dataclass(frozen=True, slots=True, init=False)
class After:
    """After each end of an execution of any of these jobs: `After("extract")`, `After("a", "b", on="failure")`.

    `on` "success" takes what ended well, "failure" what failed for good, timed out, was lost or is dead, "any" all
    of these and what was cancelled. What is retried has not ended. Without jobs it runs only when it is triggered.
    """

    start_at: ClassVar[None] = None
    end_at: ClassVar[None] = None
    max_runs: ClassVar[None] = None
    jitter: ClassVar[None] = None

    jobs: tuple[str, ...] = ()
    on: Ending = "success"
    kind: Literal["after"] = "after"

    def __init__(self, *jobs: str, on: Ending = "success", kind: Literal["after"] = "after") -> None:
        for name, value in (("jobs", jobs), ("on", on), ("kind", kind)):
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        if self.on not in ENDINGS:
            raise ScheduleError(f"on: {self.on!r} is none of {', '.join(ENDINGS)}")
        for job in self.jobs:
            if not isinstance(job, str):
                raise ScheduleError(f"jobs: {job!r} is no job's id, which is text")
        if len(set(self.jobs)) < len(self.jobs):
            raise ScheduleError("jobs: one is named twice")

    def follows(self, job: str, status: ExecutionStatus) -> bool:
        """Whether an execution of that job which ended so starts a run."""
        return job in self.jobs and status in ENDINGS[self.on]


def chained(uid: str, cause: Cause) -> str:
    """Name the execution of the job `uid` that runs after `cause`: the same however often the end is told."""
    digest = blake2b(f"{cause.job} {cause.execution} {cause.attempt}".encode(), digest_size=13).hexdigest()
    return f"{uid}-a{digest}"


def in_order(jobs: Mapping[str, T], before: Mapping[str, Sequence[str]]) -> list[T]:
    """Return the jobs so that each comes behind those of them that it runs after; otherwise as they are."""
    graph = {job: [other for other in before.get(job, ()) if other in jobs] for job in jobs}
    try:
        return [jobs[job] for job in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ScheduleError(f"jobs: they run after each other in a circle, {circle}") from None
