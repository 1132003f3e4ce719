"""Waiting for the end of an execution, and saying how it was."""

from natsched.cli.defining import duration_of
from natsched.cli.forms import record_form
from natsched.cli.measures import span
from natsched.cli.output import Output
from natsched.client.handle import ExecutionHandle
from natsched.core.executions import ExecutionStatus, Record
from natsched.errors import ExecutionFailed, InvalidJob


async def wait_for(handle: ExecutionHandle, seconds: float | None) -> Record:
    """Wait for the record of the end, for so long at most."""
    try:
        return await handle.wait(seconds)
    except TimeoutError:
        raise ExecutionFailed(
            f"{handle.execution_id} has not ended within {span(seconds)}: it goes on, "
            f"see `natsched execution show {handle.job_id} {handle.execution_id}`",
            job=handle.job_id,
        ) from None


def limit_of(text: str | None, *, wait: bool) -> float | None:
    """Return the seconds that --timeout says, which goes with --wait."""
    if text is None:
        return None
    if not wait:
        raise InvalidJob("it is for --wait: give both", field="--timeout")
    return duration_of(text, field="--timeout").total_seconds()


def show_end(output: Output, record: Record) -> None:
    """Show the record; raise ExecutionFailed if it is not that of a success."""
    text = f"{record.status} {record.execution} in {span(record.duration)}"
    output.result(record_form(record), text, record.status)
    if record.status is not ExecutionStatus.OK:
        why = record.error or record.reason or "no reason is recorded"
        raise ExecutionFailed(f"{record.execution} {record.status.replace('_', ' ')}: {why}", job=record.job)
