"""`natsched backup` and `natsched restore`."""

from pathlib import Path

from natsched.cli.asking import ask
from natsched.cli.bulk import progress_bar
from natsched.cli.defining import as_options
from natsched.cli.flags import Where
from natsched.cli.output import Output
from natsched.client.backup import RestoreResult
from natsched.client.client import Client
from natsched.client.forms import iso


def backup(where: Where, file: Path) -> None:
    """Write a backup and say what is in it."""
    output = Output(json=where.json)
    with as_options({"path": "FILE"}):
        found = ask(where, lambda client: client.backup(file))
    about = {"file": str(file), "jobs": found.jobs, "records": found.records, "unreadable": found.unreadable}
    output.result(about, f"{found.jobs} jobs and {found.records} records in {file}")
    for job in found.unreadable:
        output.note(f"the document of {job} cannot be read and is not in it")


def restore(where: Where, file: Path, *, overwrite: bool, dry_run: bool) -> None:
    """Restore a backup and say what came back."""
    output = Output(json=where.json)

    async def question(client: Client) -> RestoreResult:
        with progress_bar(where, "restored") as progress:
            return await client.restore(file, overwrite=overwrite, dry_run=dry_run, progress=progress)

    found = ask(where, question)
    about = {
        "since": iso(found.since),
        "dry_run": dry_run,
        "created": found.created,
        "updated": found.updated,
        "unchanged": found.unchanged,
        "records": found.records,
        "left": found.left,
    }
    would = "would be " if dry_run else ""
    text = f"{found.created} jobs {would}created, {found.updated} {would}updated, {found.records} records"
    output.result(about, f"{text}, as of {iso(found.since)}")
    for execution in found.left:
        output.note(f"{execution} is not brought back: a replica that is alive may run it still; it ends unrecorded")
