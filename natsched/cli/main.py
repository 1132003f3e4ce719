"""`natsched`: the commands, and what happens when one of them fails."""

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from natsched.cli import execution, job, schema, settings
from natsched.cli.apply import apply, backup, export, importing, restore
from natsched.cli.dev import dev
from natsched.cli.doctor import doctor
from natsched.cli.failing import EXIT_CODES, INTERRUPTED, report
from natsched.cli.flags import Flags, Where
from natsched.cli.parameters import command, expanded
from natsched.cli.serve import serve
from natsched.cli.top import top
from natsched.cli.version import show_version

app: Final = typer.Typer(
    name="natsched",
    help="A distributed job scheduler on NATS JetStream.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command(app, "serve")(serve)
command(app, "dev")(dev)
command(app, "doctor")(doctor)
command(app, "top")(top)
command(app, "apply")(apply)
command(app, "export")(export)
command(app, "backup")(backup)
command(app, "restore")(restore)
app.add_typer(importing, name="import")
app.add_typer(job.app, name="job")
app.add_typer(execution.app, name="execution")
app.add_typer(settings.app, name="config")
app.add_typer(schema.app, name="schema")


@command(app, "version")
def version(flags: Flags) -> None:
    """Show the versions of natsched, nats-py, the zone data and Python."""
    show_version(flags)


@command(app, "plugins")
def plugins(where: Where) -> None:
    """List the installed plugins that a replica would load, with their handlers and jobs."""
    from natsched.cli.plugins import show_plugins

    show_plugins(where)


def _root(
    context: typer.Context,
    where: Where,
    version: Annotated[bool, typer.Option("--version", help="Show the versions and leave.")] = False,
) -> None:
    """A distributed job scheduler on NATS JetStream."""
    context.obj = where
    if version:
        show_version(where)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise typer.Exit(2)


app.callback(invoke_without_command=True)(expanded(_root))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; whatever goes wrong is told in a line."""
    machine, debug = "--json" in arguments, "--debug" in arguments
    try:
        code = app(list(arguments), prog_name="natsched", standalone_mode=False)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else INTERRUPTED
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - told, with an exit code
        return report(error, machine=machine, debug=debug)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
