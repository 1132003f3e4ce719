"""Many jobs from a file, with a progress bar on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from natsched.cli.asking import ask
from natsched.cli.flags import Where
from natsched.cli.output import Output, console
from natsched.client.bulk import BulkResult
from natsched.client.client import Client
from natsched.config import load_jobs

Progress: TypeAlias = Callable[[int, int | None], None]


def ensure_file(where: Where, file: Path) -> None:
    """Ensure all jobs of a file, and say how many were created, updated and unchanged."""
    jobs = load_jobs(file)

    async def question(client: Client) -> BulkResult:
        with progress_bar(where, "jobs") as progress:
            return await client.ensure_jobs(jobs, progress=progress)

    found = ask(where, question)
    Output(json=where.json).result(
        {"created": found.created, "updated": found.updated, "unchanged": found.unchanged},
        f"{found.created} created, {found.updated} updated, {found.unchanged} unchanged",
    )


@contextmanager
def progress_bar(where: Where, what: str) -> Iterator[Progress | None]:
    """Show how much is done, on a terminal."""
    if where.json or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
