"""Errors as one line on stderr, and the exit code of each."""

import sys
import traceback
from typing import Any, Final

import typer

from natsched.cli.output import clean, console, dumps
from natsched.errors import NatschedError

INTERNAL: Final = 70
INTERRUPTED: Final = 130
USAGE: Final = 2

EXIT_CODES: Final = (
    "Exit codes: 0 ok; 1 it failed, also an execution that was waited for; 2 bad input or configuration; "
    "3 NATS is not reachable or not as it must be; 4 not found; 5 exists, or somebody else was faster; "
    "6 there are changes (apply --detailed-exitcode); 70 a bug in natsched; 130 interrupted."
)

_USAGE_ERRORS: Final = next(  # wherever this typer keeps its click
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def report(error: BaseException, *, machine: bool, debug: bool) -> int:
    """Tell what went wrong, and return the exit code."""
    cause = leaf(error)
    if debug:
        typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(cause, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(cause, _USAGE_ERRORS):
        return _usage(cause, machine=machine)
    if isinstance(cause, NatschedError):
        _tell(type(cause).__name__, cause.message, machine=machine)
        return cause.exit_code
    name = type(cause).__name__
    text = f"{name}: {cause}" if str(cause) else name
    _tell(name, text, machine=machine, kind="internal error", cure="" if debug else "--debug shows where")
    return INTERNAL


def leaf(error: BaseException) -> BaseException:
    """Return what is inside groups of errors: one of natsched's own if there is one, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf(inner) for inner in error.exceptions]
    return next((one for one in leaves if isinstance(one, NatschedError)), leaves[0])


def _usage(error: Any, *, machine: bool) -> int:  # noqa: ANN401 - click is typer's own affair
    if type(error).__name__ == "NoArgsIsHelpError":
        if error.message:
            typer.echo(error.message, err=True)
        return USAGE
    context = getattr(error, "ctx", None)
    cure = f"see {context.command_path} --help" if context is not None else ""
    _tell("UsageError", error.format_message().rstrip("."), machine=machine, cure=cure)
    return int(error.exit_code)


def _tell(kind_of: str, message: str, *, machine: bool, kind: str = "error", cure: str = "") -> None:
    text = f"{message} ({cure})" if cure else message
    if machine:
        typer.echo(dumps({"error": {"type": kind_of, "message": text}}), err=True)
    elif sys.stderr.isatty():
        from rich.text import Text

        line = Text.assemble((f"{kind}: ", "bold red"), clean(text, keep="\n"))
        console(stderr=True).print(line, soft_wrap=True)
    else:
        typer.echo(f"{kind}: {clean(text, keep=chr(10))}", err=True)
