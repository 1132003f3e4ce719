"""`natsched schema`: the published forms of what is stored, and of a file of jobs."""

from typing import Final

import typer

from natsched.cli.flags import Flags
from natsched.cli.output import dumps
from natsched.cli.parameters import command
from natsched.config.tables import jobs_schema
from natsched.core.documents import job_schema, record_schema

app: Final = typer.Typer(help="Print JSON Schemas: of what is stored, and of files of jobs.", no_args_is_help=True)


@command(app, "job")
def job(flags: Flags) -> None:
    """Print the JSON Schema of a job's document."""
    typer.echo(dumps(job_schema(), indent=None if flags.json else 2))


@command(app, "record")
def record(flags: Flags) -> None:
    """Print the JSON Schema of an execution's record."""
    typer.echo(dumps(record_schema(), indent=None if flags.json else 2))


@command(app, "jobs")
def jobs(flags: Flags) -> None:
    """Print the JSON Schema of a file of jobs, for editors: a first line `#:schema FILE` names it."""
    typer.echo(dumps(jobs_schema(), indent=None if flags.json else 2))
