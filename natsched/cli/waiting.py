"""Waiting for the end of executions, and saying how it was."""

from collections.abc import Sequence

import anyio

from natsched.cli.defining import duration_of
from natsched.cli.output import Output
from natsched.cli.showing import record_rows
from natsched.client.forms import iso, record_form
from natsched.client.handle import ExecutionHandle
from natsched.client.measures import instant, span
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


async def wait_for_all(handles: Sequence[ExecutionHandle], seconds: float | None) -> Sequence[Record]:
    """Wait for the records of all ends, in order, for so long at most."""
    try:
        with anyio.fail_after(seconds):
            return [await handle.wait() for handle in handles]
    except TimeoutError:
        raise ExecutionFailed(
            f"not all of {len(handles)} runs have ended within {span(seconds)}: they go on, "
            f"see `natsched execution list {handles[0].job_id}`",
            job=handles[0].job_id,
        ) from None


def show_backfill(
    output: Output, job: str, handles: Sequence[ExecutionHandle], records: Sequence[Record], *, dry_run: bool
) -> None:
    """Show which instants were asked for, and how they ended where that was waited for."""
    if output.json:
        asked = [{"execution": handle.execution_id, "due": iso(handle.due)} for handle in handles]
        ended = [record_form(record) for record in records]
        output.value({"job": job, "dry_run": dry_run, "asked": asked, "ended": ended})
    elif records:
        output.table(*record_rows(records))
    elif handles:
        rows = [(instant(handle.due), handle.execution_id) for handle in handles]
        output.table(("DUE", "EXECUTION"), rows)
        if dry_run:
            output.note("This is what would run: nothing is asked for.")
    else:
        output.note(f"No instant of {job} is left there that was not asked for before.")
    bad = [record for record in records if record.status is not ExecutionStatus.OK]
    if bad:
        raise ExecutionFailed(f"{len(bad)} of {len(records)} runs of {job} did not end well", job=job)
