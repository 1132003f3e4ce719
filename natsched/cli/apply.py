"""`natsched apply`, `export`, `backup`, `restore` and `import`: jobs as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from natsched.cli.flags import Where
from natsched.cli.parameters import command

importing: Final = typer.Typer(help="Make a file of jobs of another scheduler's.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of jobs.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there, instead of to stdout.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How files are applied."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove jobs of the files' owner that no file names any more.")
    ] = False
    take_over: Annotated[bool, typer.Option("--take-over", help="Also change jobs that belong to another owner.")] = (
        False
    )
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="End with 6, not 0, where there are changes.")
    ] = False


def apply(where: Where, files: Files, options: ApplyOptions) -> None:
    """Make the jobs as the files say: show what is to be created, changed and removed, ask, and do it."""
    from natsched.cli.applying import Applying

    code = Applying(where, files, options).run()
    if code:
        raise typer.Exit(code)


def export(
    where: Where,
    prefix: Annotated[str, typer.Argument(help="Only jobs at and below it: billing for billing.daily.")] = "",
    out: Out = None,
) -> None:
    """Write jobs as a file that `apply` takes; values that may be secrets are written as they are."""
    from natsched.cli.applying import export as write

    write(where, prefix, out)


def backup(
    where: Where,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
) -> None:
    """Write all jobs, with what is of them, and all records to one file (gzip of JSON lines)."""
    from natsched.cli.keeping import backup as write

    write(where, file)


def restore(
    where: Where,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What backup wrote.", show_default=False)],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Give jobs that are there the definitions of the backup.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would come back.")] = False,
) -> None:
    """Bring back what a backup has; refused (5) if a job of it is there."""
    from natsched.cli.keeping import restore as read

    read(where, file, overwrite=overwrite, dry_run=dry_run)


@command(importing, "crontab")
def crontab(
    where: Where,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A crontab; - for stdin.", show_default=False)],
    out: Out = None,
    system: Annotated[bool, typer.Option("--system", help="It has a column for the user, as /etc/crontab.")] = False,
    prefix: Annotated[str, typer.Option("--prefix", metavar="ID", help="What the ids begin with.")] = "crontab",
    owner: Annotated[str | None, typer.Option("--owner", metavar="NAME", help="The owner of the file.")] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="The crontab's, if not this host's.")
    ] = None,
) -> None:
    """Write a crontab's jobs as a file, and report on stderr each line that was not, or not wholly, taken."""
    from natsched.cli.importing import import_crontab

    import_crontab(where, file, out, system=system, prefix=prefix, owner=owner, timezone=timezone)
