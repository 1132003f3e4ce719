"""`natsched schema`: the published forms of what is stored."""

from typing import Final

import typer

from natsched.cli.flags import Flags
from natsched.cli.output import dumps
from natsched.cli.parameters import command
from natsched.core.documents import job_schema, record_schema

app: Final = typer.Typer(help="Print the JSON Schemas of what is stored.", no_args_is_help=True)


@command(app, "job")
def job(flags: Flags) -> None:
    """Print the JSON Schema of a job's document."""
    typer.echo(dumps(job_schema(), indent=None if flags.json else 2))


@command(app, "record")
def record(flags: Flags) -> None:
    """Print the JSON Schema of an execution's record."""
    typer.echo(dumps(record_schema(), indent=None if flags.json else 2))
