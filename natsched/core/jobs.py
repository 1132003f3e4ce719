"""A job's document: what was asked (`Spec`), what is (`Status`), and the one next run it plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, NewType, TypeAlias

from pydantic import AwareDatetime, Field

from natsched.core.backoff import RetryPolicy
from natsched.core.chains import After
from natsched.core.executions import STORED, UNLESS_EMPTY, Cause, ExecutionStatus, Json
from natsched.core.schedules import Interval, Schedule
from natsched.core.targets import Target
from natsched.core.webhooks import Webhook

JobId = NewType("JobId", str)
ExecutionId = NewType("ExecutionId", str)
LeaseId = NewType("LeaseId", str)

Overlap: TypeAlias = Literal["skip", "queue", "replace", "allow"]
Scope: TypeAlias = Literal["one", "all"]
Priority: TypeAlias = Literal["high", "normal", "low"]
DeliveryMode: TypeAlias = Literal["at_least_once", "at_most_once"]
CatchUp: TypeAlias = Literal["latest", "earliest", "none", "all"]
HistoryMode: TypeAlias = Literal["all", "failures", "none"]
JobState: TypeAlias = Literal["active", "paused", "completed"]


def _unless(default: object) -> Any:  # noqa: ANN401 - pydantic's own type
    """Say what `UNLESS_EMPTY` says of a field whose default is not empty."""
    return Field(exclude_if=lambda value: value == default)


RANKS: Final[Mapping[Priority, int]] = {"high": 0, "normal": 1, "low": 2}
MAX_RUNNING: Final = 256
MAX_MANUAL: Final = 256
MAX_RETRIES: Final = 256
MAX_REASON: Final = 500
MAX_PAYLOAD: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What was asked.

    What runs is the `target`, or without one the `handler` of the application, or its default one.
    `generation` counts its changes, `anchor` is the instant that an interval without `start_at` counts
    from, `timeout`, `tolerance`, `catch_up_window` (how old an instant may be that is made up for) and `deadline`
    (after the due, for all of the execution) are seconds. A job is paused, from `paused_since`, while `active` is
    false and `paused_until` (if any) lies ahead; `pause_reason` says why. After `auto_pause_after` failures in a
    row it pauses itself. With `scope` "all" every replica of the queue runs it, with `primary_only` the primary one
    alone. Of the jobs with one `concurrency_key` one runs at a time. The `webhook` is told of status changes. The
    `owner` is who defines the job, such as a file: only its own are pruned.
    """

    __pydantic_config__ = STORED

    schedule: Annotated[Schedule, Field(discriminator="kind")]
    anchor: AwareDatetime
    generation: int = 1
    handler: str | None = None
    target: Annotated[Target, Field(discriminator="kind")] | None = None
    queue: str = "default"
    payload: Json = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    timeout: float | None = None
    deadline: float | None = None
    overlap: Overlap = "skip"
    max_concurrency: int | None = None
    concurrency_key: str | None = None
    scope: Annotated[Scope, _unless("one")] = "one"
    primary_only: Annotated[bool, UNLESS_EMPTY] = False
    priority: Annotated[Priority, _unless("normal")] = "normal"
    delivery: DeliveryMode = "at_least_once"
    catch_up: CatchUp = "latest"
    catch_up_limit: int = 100
    catch_up_window: float | None = None
    tolerance: float = 60.0
    history: HistoryMode = "all"
    max_crashes: int = 3
    retry: RetryPolicy | None = None
    auto_pause_after: int | None = None
    active: bool = True
    paused_until: AwareDatetime | None = None
    pause_reason: str | None = None
    paused_since: AwareDatetime | None = None
    webhook: Webhook | None = None
    owner: str | None = None

    def is_active(self, now: datetime) -> bool:
        return self.active or (self.paused_until is not None and self.paused_until <= now)

    @property
    def fixed_delay(self) -> timedelta | None:
        """The delay from an end to the next due, for a schedule that waits for its runs."""
        schedule = self.schedule
        return schedule.period if isinstance(schedule, Interval) and schedule.fixed_delay else None

    @property
    def is_reactive(self) -> bool:
        """Whether it has no instants of its own, so that it is never complete."""
        return isinstance(self.schedule, After)

    @property
    def leaves_no_trace(self) -> bool:
        """Whether a claim only moves the plan: one write a run, nothing to finish."""
        return (
            self.delivery == "at_most_once"
            and self.concurrency is None
            and self.fixed_delay is None
            and self.concurrency_key is None
            and not self.is_placed
        )

    @property
    def is_placed(self) -> bool:
        """Whether it matters which replica runs it, so that a claim may be made for another one."""
        return self.primary_only or self.scope == "all"

    @property
    def never_taken_over(self) -> bool:
        """Whether a run dies with its replica: it must not run twice, or it is that replica's own part."""
        return self.delivery == "at_most_once" or self.scope == "all"

    @property
    def concurrency(self) -> int | None:
        """How many executions of the job may run at once, in the whole cluster; None for any number."""
        if self.max_concurrency is None and self.overlap != "allow":
            return 1
        return self.max_concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The numbered next run; `(uid, n)` names one plan for ever.

    `by` claimed the one before it, where that left no other trace: else two that write the same claim, and of which
    one gets no answer, could not tell whose it was.
    """

    __pydantic_config__ = STORED

    n: int
    due: AwareDatetime | None = None
    by: LeaseId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One claimed execution: its holder is `token` (the revision the claim replaced) and `lease` together.

    A lease of None was handed back by a replica that shut down: anybody may go on. `delivery` is the
    sequence of the delivery that was claimed, `takeovers` counts the holders that died on it. By `deadline` it
    is ended, if there is one. One that was claimed to run `once` at most is taken over by nobody, whatever its job
    says by then. With `assigned` another replica made the claim for that lease. `cancel` is why it is
    to end, `paused` whether it is to wait at its next checkpoint. `trace` is that of who asked for it, or of its
    first attempt.
    """

    __pydantic_config__ = STORED

    token: int
    due: AwareDatetime
    lease: LeaseId | None = None
    attempt: int = 1
    delivery: int = 0
    takeovers: int = 0
    manual: bool = False
    payload: Json = None
    deadline: AwareDatetime | None = None
    cause: Cause | None = None
    assigned: Annotated[bool, UNLESS_EMPTY] = False
    once: Annotated[bool, UNLESS_EMPTY] = False
    cancel: str | None = None
    paused: Annotated[bool, UNLESS_EMPTY] = False
    trace: Annotated[Mapping[str, str], UNLESS_EMPTY] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """A run that was asked for at `at`, by hand or by the end of another (`cause`), and is not yet claimed.

    With `due` it is a run of that instant of the past: one of a backfill. `trace` is that of who asked.
    """

    __pydantic_config__ = STORED

    at: AwareDatetime
    payload: Json = None
    due: AwareDatetime | None = None
    cause: Cause | None = None
    trace: Annotated[Mapping[str, str], UNLESS_EMPTY] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """An execution that failed and waits for its next attempt, which is `attempt`, until `at`.

    With `lease` it is that replica's part of a job that every replica runs, and nobody else's. `trace` is that of
    its first attempt.
    """

    __pydantic_config__ = STORED

    attempt: int
    at: AwareDatetime
    due: AwareDatetime
    manual: bool = False
    payload: Json = None
    deadline: AwareDatetime | None = None
    lease: LeaseId | None = None
    cause: Cause | None = None
    trace: Annotated[Mapping[str, str], UNLESS_EMPTY] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """How the last execution that ended did."""

    __pydantic_config__ = STORED

    execution: ExecutionId
    attempt: int
    status: ExecutionStatus
    due: AwareDatetime
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is. `runs` counts the scheduled runs that were claimed, `counts` the ends by status.

    `failures` counts the executions that failed for good since the last one that went well. `followers` are jobs that
    run after this one, `handovers` the ends that are still to be told to them. `trace` is that of who wrote the spec.
    """

    __pydantic_config__ = STORED

    plan: Plan
    running: Mapping[ExecutionId, Running] = field(default_factory=dict)
    retries: Annotated[Mapping[ExecutionId, Retrying], UNLESS_EMPTY] = field(default_factory=dict)
    manual: Mapping[ExecutionId, Manual] = field(default_factory=dict)
    last_due: AwareDatetime | None = None
    last: Last | None = None
    runs: int = 0
    counts: Mapping[ExecutionStatus, int] = field(default_factory=dict)
    failures: Annotated[int, UNLESS_EMPTY] = 0
    completed: str | None = None
    followers: Annotated[tuple[JobId, ...], UNLESS_EMPTY] = ()
    handovers: Annotated[Mapping[ExecutionId, Cause], UNLESS_EMPTY] = field(default_factory=dict)
    trace: Annotated[Mapping[str, str], UNLESS_EMPTY] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as stored. `uid` is new at each creation of the same id."""

    __pydantic_config__ = STORED

    v: Literal[1] = 1
    id: JobId
    uid: str
    spec: Spec
    status: Status

    def state(self, now: datetime) -> JobState:
        if self.status.completed is not None:
            return "completed"
        return "active" if self.spec.is_active(now) else "paused"

    def execution_id(self, n: int) -> ExecutionId:
        return ExecutionId(f"{self.uid}-{n}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A stored value that is no job document of ours: reported, left where it is, never written over."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a read of a job's key showed.

    `job` is None where the key is missing; `revision` is then that of the marker of its removal, or 0. A
    write that expects `revision` succeeds only if nothing was written since.
    """

    id: JobId
    job: Job | Unreadable | None
    revision: int
