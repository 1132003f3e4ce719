"""What follows from a failed attempt: another one, or the end."""

from dataclasses import dataclass, replace
from datetime import timedelta

from natsched.core.backoff import LONGEST, RetryPolicy, delay_of
from natsched.core.endings import Outcome
from natsched.core.executions import Event, ExecutionStatus, advance
from natsched.core.jobs import MAX_RETRIES, ExecutionId, Job, Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is known of a failed attempt besides its outcome.

    `names` are those it goes by in `RetryPolicy.retry_on`. With `again` the handler asked for another attempt,
    after `after` seconds if it said so; with `again` false it said that there is no use in one.
    """

    names: tuple[str, ...] = ()
    again: bool | None = None
    after: float | None = None


def judged(job: Job, execution: ExecutionId, entry: Running, outcome: Outcome, failure: Failure) -> Outcome:
    """Return the outcome of a failed attempt with what follows from it: another attempt, or none and why.

    A job without a policy tries again only when its handler asks for it, by the default policy.
    """
    if failure.again is False:
        return _over(outcome, "its handler said that there is no use in another attempt")
    policy = job.spec.retry
    if policy is None:
        if not failure.again:
            return outcome
        policy = RetryPolicy()
    if job.spec.delivery == "at_most_once":
        return _over(outcome, "it runs at most once")
    if entry.attempt >= policy.max_attempts:
        return _over(outcome, f"{entry.attempt} attempts failed")
    if not failure.again and not policy.covers((*failure.names, outcome.status.value)):
        return _over(outcome, "such a failure is not worth another attempt, by its `retry_on`")
    if len(job.status.retries) >= MAX_RETRIES:
        return _over(outcome, f"{MAX_RETRIES} executions of the job wait for another attempt already")
    delay = delay_of(policy, execution, entry.attempt)
    if failure.after is not None:
        delay = timedelta(seconds=min(max(failure.after, 0.0), LONGEST))
    retry_at = outcome.ended_at + delay
    if entry.deadline is not None and retry_at >= entry.deadline:
        return _over(outcome, "its deadline would have passed")
    status = advance(ExecutionStatus.RUNNING, Event.FAIL_FOR_NOW)
    return replace(outcome, status=status, retry_at=retry_at)


def _over(outcome: Outcome, reason: str) -> Outcome:
    return replace(outcome, status=advance(ExecutionStatus.RUNNING, Event.FAIL_FOR_GOOD), reason=reason)
