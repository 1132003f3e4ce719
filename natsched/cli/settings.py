"""`natsched config`: check it, show it, write a first one."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from natsched.cli.flags import Flags, Where
from natsched.cli.output import Output
from natsched.cli.parameters import command
from natsched.config import init as write_config
from natsched.config import reference as reference_text
from natsched.config import show as as_toml
from natsched.config.loading import DEFAULT_FILE, chosen_file

app: Final = typer.Typer(help="Check, show and write the configuration.", no_args_is_help=True)


@command(app, "check")
def check(where: Where) -> None:
    """Check the configuration: file, environment and flags together."""
    where.settings()
    file = chosen_file(where.config, os.environ)
    found = f"{file} is valid" if file else "valid: defaults, environment and flags; there is no file"
    Output(json=where.json).result({"valid": True, "file": str(file) if file else None}, found, "green")


@command(app, "show")
def show(where: Where) -> None:
    """Show the settings in force as TOML, with secrets masked."""
    settings = where.settings()
    if where.json:
        Output(json=True).value(settings.model_dump(mode="json"))
    else:
        typer.echo(as_toml(settings), nl=False)


@command(app, "init")
def init(
    flags: Flags,
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="Where to.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a configuration file with the defaults."""
    write_config(path, force=force)
    Output(json=flags.json).result({"written": str(path)}, f"wrote {path}")


@command(app, "reference")
def reference(flags: Flags) -> None:
    """Print every setting with its default and what it is for."""
    text = reference_text()
    if flags.json:
        Output(json=True).value({"reference": text})
    else:
        typer.echo(text, nl=False)
