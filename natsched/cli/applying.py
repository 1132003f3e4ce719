"""`natsched apply` and `natsched export`: jobs as files, shown as a plan before anything is done."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from natsched.cli.apply import ApplyOptions
from natsched.cli.asking import ask
from natsched.cli.bulk import progress_bar
from natsched.cli.flags import Where
from natsched.cli.output import Output, dumps
from natsched.client.client import Client
from natsched.config import load_file
from natsched.core.applying import Outline, Wanted
from natsched.core.jobs import Job
from natsched.core.schedules import describe
from natsched.core.targets import Shell
from natsched.errors import InvalidJob, JobChanged
from natsched.protocol.applying import Applied

CHANGES: Final = 6
"""The exit code that --detailed-exitcode gives where there are changes."""

_LONGEST: Final = 60


class Applying:
    """One `natsched apply`: the plan, the question, what was done."""

    def __init__(self, where: Where, files: Sequence[Path], options: ApplyOptions) -> None:
        self._where = where
        self._files = [load_file(path) for path in files]
        self._options = options
        self._output = Output(json=where.json)
        self._refused = False

    def run(self) -> int:
        """Show the plan and apply it; return the exit code."""
        options = self._options
        if not (options.yes or options.dry_run or sys.stdin.isatty()):
            raise InvalidJob("nobody is there to be asked: say --yes, or --dry-run to see the plan", field="apply")
        laid_out, applied = ask(self._where, self._ask)
        if self._refused:
            return 1
        if self._output.json:
            self._output.value(_form(laid_out, applied))
        elif applied is not None:
            done = (applied.created, applied.updated, applied.pruned)
            words = zip(map(len, done), ("created", "updated", "removed"), strict=True)
            self._output.line(", ".join(f"{number} {word}" for number, word in words))
        if applied is not None and applied.changed:
            raise JobChanged(f"{'; '.join(applied.changed)}: apply again to see what is left", jobs=applied.changed)
        return CHANGES if options.detailed_exitcode and laid_out.has_changes else 0

    async def _ask(self, client: Client) -> tuple[Outline, Applied | None]:
        options = self._options
        laid_out = await client.plan_files(*self._files, prune=options.prune, take_over=options.take_over)
        if not self._output.json:
            self._show(laid_out)
        if options.dry_run or not laid_out.has_changes:
            return laid_out, None
        if not options.yes and not typer.confirm("Apply this?", err=True):
            self._refused = True
            return laid_out, None
        with progress_bar(self._where, "jobs") as progress:
            return laid_out, await client.apply_plan(laid_out, progress=progress)

    def _show(self, laid_out: Outline) -> None:
        output = self._output
        for creation in laid_out.created:
            output.line(f"+ {_told(creation.wanted)}", "green")
        for update in laid_out.updated:
            output.line(f"~ {update.wanted.id}", "yellow")
            for difference in update.differences:
                output.line(f"    {difference.field}: {_value(difference.before)} -> {_value(difference.after)}")
        for removal in laid_out.pruned:
            output.line(f"- {removal.job.id}", "red")
        kinds = (laid_out.created, laid_out.updated, laid_out.pruned, laid_out.unchanged)
        words = zip(map(len, kinds), ("to create", "to change", "to remove", "unchanged"), strict=True)
        output.line(", ".join(f"{number} {word}" for number, word in words), "bold")


def export(where: Where, prefix: str, out: Path | None) -> None:
    """Write the jobs at and below a prefix as a file."""
    from natsched.config.exporting import dump_jobs

    async def question(client: Client) -> list[Job]:
        return [view.document async for view in client.iter_jobs(prefix)]

    jobs = ask(where, question)
    text, told = dump_jobs(jobs)
    output = Output(json=where.json)
    if out is not None:
        write_text(out, text)
    if where.json:
        output.value({"jobs": len(jobs), "notes": told, "file": None if out is None else str(out), "text": text})
    elif out is None:
        typer.echo(text, nl=False)
    for line in told:
        output.note(line)
    if prefix and not jobs:
        output.note(f"there is no job at or below {prefix}: a file to write to is named by -o")


def write_text(path: Path, text: str) -> None:
    """Write a file; InvalidJob if it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidJob(f"{path} cannot be written: {reason}", field="--output") from None


def _form(laid_out: Outline, applied: Applied | None) -> Mapping[str, Any]:
    """Return the plan and what was done as JSON; what was left is in `changed`."""
    return {
        "created": [creation.wanted.id for creation in laid_out.created],
        "updated": [
            {
                "id": update.wanted.id,
                "changes": [
                    {"field": difference.field, "before": difference.before, "after": difference.after}
                    for difference in update.differences
                ],
            }
            for update in laid_out.updated
        ],
        "pruned": [removal.job.id for removal in laid_out.pruned],
        "unchanged": list(laid_out.unchanged),
        "applied": applied is not None,
        "changed": [] if applied is None else list(applied.changed),
    }


def _told(wanted: Wanted) -> str:
    spec = wanted.spec
    match spec.target:
        case None:
            what: Iterable[str] = (spec.handler or "",)
        case Shell(argv=argv, shell=False):
            what = ("shell", argv[0])
        case target:
            what = (target.kind,)
    return "  ".join(filter(None, (wanted.id, describe(spec.schedule), " ".join(what))))


def _value(value: object) -> str:
    text = "-" if value is None else dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
