"""What things are called in NATS: subjects, streams, keys and consumers, and the way back from a subject."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from natsched.core.hints import Hint, PlanHint
from natsched.core.jobs import ExecutionId, JobId

DEFAULT_QUEUE: Final = "default"


class Address(NamedTuple):
    """What the subject of a hint says; a schedule's names no queue, and only a run's names an execution."""

    kind: Literal["schedule", "retry", "plan", "run"]
    job: JobId
    queue: str | None = None
    execution: ExecutionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that all replicas and clients must agree on. `domain` is the JetStream domain, if any."""

    stream: str = "SCHEDULER"
    prefix: str = "scheduler"
    consumer: str = "scheduler-worker"
    webhook_consumer: str = "scheduler-webhooks"
    jobs: str = "SCHEDULER_JOBS"
    executions: str = "SCHEDULER_EXECUTIONS"
    locks: str = "SCHEDULER_LOCKS"
    domain: str | None = None

    @property
    def api(self) -> str:
        """What the subjects of JetStream's API start with."""
        return f"$JS.{self.domain}.API" if self.domain else "$JS.API"

    @property
    def deliveries(self) -> str:
        return f"{self.prefix}.delivery.>"

    @property
    def notices(self) -> str:
        return f"{self.prefix}.webhook.>"

    def notice(self, key: str) -> str:
        """Return the subject of a notice; its key has dots, and is no wildcard."""
        return f"{self.prefix}.webhook.{key}"

    def deliveries_of(self, queue: str) -> str:
        return f"{self.prefix}.delivery.{queue}.>"

    def consumer_of(self, queue: str) -> str:
        return self.consumer if queue == DEFAULT_QUEUE else f"{self.consumer}-{queue}"

    def schedule(self, job: JobId) -> str:
        return f"{self.prefix}.schedule.{job}"

    def retry(self, job: JobId, execution: ExecutionId) -> str:
        return f"{self.prefix}.retry.{job}.{execution}"

    def scheduled(self, hint: Hint) -> str:
        """Return the subject that the hint is scheduled on: its job's, or that of its execution."""
        if isinstance(hint, PlanHint):
            return f"{self.prefix}.schedule.{hint.job}"
        return f"{self.prefix}.retry.{hint.job}.{hint.execution}"

    def delivery(self, hint: Hint) -> str:
        """Return the subject that the hint is delivered on."""
        if isinstance(hint, PlanHint):
            return f"{self.prefix}.delivery.{hint.queue}.plan.{hint.job}"
        return f"{self.prefix}.delivery.{hint.queue}.run.{hint.execution}.{hint.job}"

    def address(self, subject: str) -> Address | None:
        """Read a subject of the stream; None if it is no subject of ours."""
        head = f"{self.prefix}."
        if not subject.startswith(head):
            return None
        kind, _, rest = subject[len(head) :].partition(".")
        if kind == "delivery":
            return _delivery_address(rest)
        if kind == "schedule" and rest:
            return Address(kind="schedule", job=JobId(rest))
        job, _, execution = rest.rpartition(".")
        if kind == "retry" and job and execution:
            return Address(kind="retry", job=JobId(job), execution=ExecutionId(execution))
        return None

    def cancel(self, execution: str, attempt: int) -> str:
        """Return the subject that tells an attempt's worker to stop: not below `prefix`, so not in the stream."""
        return f"{self.prefix}-cancel.{execution}.{attempt}"

    def is_own(self, subject: str) -> bool:
        """Say whether a subject is one of the stream's, or of those that stop workers."""
        return f"{subject}.".startswith((f"{self.prefix}.", f"{self.prefix}-cancel."))

    def key(self, bucket: str, key: str) -> str:
        """Return the subject that a key of a bucket is stored under."""
        return f"$KV.{bucket}.{key}"

    def key_to_publish(self, bucket: str, key: str) -> str:
        """Return the subject to write a key by: with a domain not the one that it is stored under."""
        return f"{self.api}.$KV.{bucket}.{key}" if self.domain else f"$KV.{bucket}.{key}"

    def bucket_stream(self, bucket: str) -> str:
        return f"KV_{bucket}"


def _delivery_address(rest: str) -> Address | None:
    queue, _, rest = rest.partition(".")
    kind, _, rest = rest.partition(".")
    if kind == "plan" and rest:
        return Address(kind="plan", job=JobId(rest), queue=queue)
    execution, _, job = rest.partition(".")
    if kind == "run" and job:
        return Address(kind="run", job=JobId(job), queue=queue, execution=ExecutionId(execution))
    return None
