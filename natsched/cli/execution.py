"""`natsched execution`: the history of what ran, and of what did not."""

from typing import Annotated, Final

import typer

from natsched.cli.asking import ask
from natsched.cli.flags import Where
from natsched.cli.forms import record_form
from natsched.cli.output import Output
from natsched.cli.parameters import command
from natsched.cli.showing import record_details, record_rows
from natsched.errors import JobNotFound

app: Final = typer.Typer(help="Look at what ran, and at what did not.", no_args_is_help=True)


@command(app, "list")
def list_executions(
    where: Where,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only those of this job.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many at most.")] = 100,
    missed: Annotated[bool, typer.Option("--missed", help="Only runs that did not happen.")] = False,
) -> None:
    """List executions, the newest first; those that are running come first for a single job."""
    records = ask(where, lambda client: client.executions(job, limit=limit, missed=missed))
    output = Output(json=where.json)
    if output.json:
        output.value([record_form(record) for record in records])
    elif records:
        output.table(*record_rows(records))
    else:
        output.note(f"There are no records of {'runs that did not happen' if missed else 'executions'}.")


@command(app, "show")
def show(
    where: Where,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its job.", show_default=False)],
    execution: Annotated[
        str, typer.Argument(metavar="EXECUTION", help="Its id, as `execution list` has it.", show_default=False)
    ],
) -> None:
    """Show the attempts of one execution, the newest first."""
    records = ask(where, lambda client: client.executions(job, execution))
    if not records:
        raise JobNotFound(
            f"There is no record of {execution} of {job}: was it never run, or longer ago than history.retention?"
        )
    output = Output(json=where.json)
    if output.json:
        output.value([record_form(record) for record in records])
        return
    for number, record in enumerate(records):
        if number:
            output.line("")
        output.details(record_details(record))
