"""`natsched execution`: the history of what ran, and of what did not."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Annotated, Final

import typer

from natsched.cli import controlling
from natsched.cli.asking import ask
from natsched.cli.defining import instant_of
from natsched.cli.flags import Where
from natsched.cli.output import Output
from natsched.cli.parameters import command
from natsched.cli.showing import log_lines, record_line, record_rows
from natsched.client.client import Client
from natsched.client.details import record_details
from natsched.client.forms import record_form, whole_record_form
from natsched.clock import SystemClock
from natsched.config import parse_duration
from natsched.core.executions import ExecutionStatus, Record
from natsched.errors import InvalidJob, JobNotFound

app: Final = typer.Typer(help="Look at what ran and what did not; control what runs.", no_args_is_help=True)
app.add_typer(controlling.app)


@command(app, "list")
def list_executions(
    where: Where,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only those of this job.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many at most.")] = 100,
    missed: Annotated[bool, typer.Option("--missed", help="Only runs that did not happen, and why.")] = False,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only what ended so, such as dead; may be repeated."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="24h", help="Only what ended within so long, or since an instant."),
    ] = None,
) -> None:
    """List executions, the newest first; those that are running come first for a single job."""
    start = None if since is None else _since(since)
    if job is None and ExecutionStatus.RUNNING in (status or ()):
        raise InvalidJob("what is running is told of one job: name it before the options", field="--status")
    records = ask(
        where,
        lambda client: client.executions(job, limit=limit, missed=missed, status=status or (), since=start),
    )
    output = Output(json=where.json)
    if output.json:
        output.value([record_form(record) for record in records])
    elif records:
        output.table(*record_rows(records))
    else:
        output.note(f"There are no {'such ' if status or since else ''}records of {_kind(missed=missed)}.")


@command(app, "show")
def show(
    where: Where,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its job.", show_default=False)],
    execution: Annotated[
        str, typer.Argument(metavar="EXECUTION", help="Its id, as `execution list` has it.", show_default=False)
    ],
) -> None:
    """Show the attempts of one execution, the newest first."""
    records = _attempts(where, job, execution)
    output = Output(json=where.json)
    if output.json:
        output.value([whole_record_form(record) for record in records])
        return
    for number, record in enumerate(records):
        if number:
            output.line("")
        output.details(record_details(record))


@command(app, "logs")
def logs(
    where: Where,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its job.", show_default=False)],
    execution: Annotated[str, typer.Argument(metavar="EXECUTION", help="Its id.", show_default=False)],
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Only what this attempt logged.")
    ] = None,
) -> None:
    """Show what was logged in the ended attempts of one execution, the oldest first."""
    records = [record for record in reversed(_attempts(where, job, execution)) if attempt in (None, record.attempt)]
    output = Output(json=where.json)
    if output.json:
        forms = [whole_record_form(record) for record in records]
        output.value([{"attempt": form["attempt"], **(form["logs"] or {"lines": []})} for form in forms])
    elif any(record.logs for record in records):
        for line in chain.from_iterable(map(log_lines, records)):
            output.line(line)
    else:
        output.note("Nothing was logged.")


def _attempts(where: Where, job: str, execution: str) -> Sequence[Record]:
    async def question(client: Client) -> Sequence[Record]:
        records = await client.executions(job, execution)
        if records:
            return records
        reason = "was it never run, or longer ago than history.retention?"
        with suppress(JobNotFound):
            status = (await client.get_job(job)).document.status
            if execution in status.running or execution in status.manual:
                does = "is running" if execution in status.running else "waits to be run"
                reason = f"it {does}, and an attempt has its record, with what it logged, when it ends."
        raise JobNotFound(f"There is no record of {execution} of {job}: {reason}")

    return ask(where, question)


@command(app, "watch")
def watch(
    where: Where,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only those of this job.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="Leave after so many.")
    ] = None,
) -> None:
    """Show each run as it ends, and what did not run, until Ctrl-C."""
    output = Output(json=where.json)

    async def question(client: Client) -> None:
        left = limit
        async with client.watch(job) as records:
            async for record in records:
                output.each(record_form(record), record_line(record), record.status)
                if left is not None and (left := left - 1) == 0:
                    return

    ask(where, question)


def _since(text: str) -> datetime:
    """Return the instant that the text names, or that lies so long ago."""
    try:
        return SystemClock().now() - parse_duration(text)
    except ValueError:
        pass
    try:
        return instant_of(text, field="--since")
    except InvalidJob:
        raise InvalidJob(
            "should be so long, such as 24h, or an instant, such as 2026-12-01T08:00:00Z", field="--since"
        ) from None


def _kind(*, missed: bool) -> str:
    return "runs that did not happen" if missed else "executions"
