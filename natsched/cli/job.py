"""`natsched job`: what there is, and what is asked for."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from natsched.cli.asking import ask
from natsched.cli.bulk import ensure_file
from natsched.cli.defining import What, When, as_options, definition, duration_of, instant_of, json_value
from natsched.cli.flags import Where
from natsched.cli.output import Output
from natsched.cli.parameters import command
from natsched.cli.showing import job_rows, next_run, outcome, upcoming_rows
from natsched.cli.waiting import limit_of, show_backfill, show_end, wait_for, wait_for_all
from natsched.client.client import Client
from natsched.client.details import job_details
from natsched.client.forms import job_document, job_form, upcoming_form
from natsched.client.handle import ExecutionHandle
from natsched.client.views import JobPage, JobView
from natsched.clock import SystemClock
from natsched.core.executions import Record
from natsched.errors import InvalidJob

app: Final = typer.Typer(help="List, define and control jobs.", no_args_is_help=True)

_KEYWORDS: Final = {"schedule.jobs": "--after", "unique_key": "--unique-key", "unique_for": "--unique-for"}

Id = Annotated[str, typer.Argument(metavar="ID", help="The job, such as billing.invoices.daily.", show_default=False)]


@command(app, "list")
def list_jobs(
    where: Where,
    prefix: Annotated[str, typer.Argument(help="Only jobs below it: billing for billing.daily.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many at most.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """List jobs, by id."""

    async def question(client: Client) -> JobPage:
        if not everything:
            return await client.list_jobs(prefix, limit=limit)
        return JobPage(jobs=tuple([view async for view in client.iter_jobs(prefix)]), next=None)

    page = ask(where, question)
    output = Output(json=where.json)
    views = sorted(page.jobs, key=lambda view: view.id)
    if output.json:
        output.value([job_form(view) for view in views])
    elif views:
        output.table(*job_rows(views))
    else:
        output.note(f"There are no jobs below {prefix}." if prefix else "There are no jobs yet.")
    if page.next is not None:
        output.note(f"These are {limit} of more: --limit or --all shows the rest.")


@command(app, "show")
def show(where: Where, job: Id) -> None:
    """Show all there is to know of a job."""
    view = ask(where, lambda client: client.get_job(job))
    output = Output(json=where.json)
    if output.json:
        output.value({**job_form(view), "document": job_document(view)})
    else:
        output.details(job_details(view, SystemClock().now()))


@command(app, "next")
def next_runs(
    where: Where,
    job: Id,
    number: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, max=10_000, help="How many.")] = 10,
) -> None:
    """Show the instants to come, in the job's time zone, and what its clocks do there."""
    found = ask(where, lambda client: client.upcoming_runs(job, limit=number))
    output = Output(json=where.json)
    if output.json:
        output.value([upcoming_form(one) for one in found])
    elif found:
        output.table(*upcoming_rows(found))
    else:
        output.note(f"{job} has no next run: `natsched job show {job}` says why.")


@command(app, "ensure")
def ensure(
    where: Where,
    when: When,
    what: What,
    job: Annotated[str | None, typer.Argument(metavar="[ID]", help="The job.", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Ensure all jobs of a TOML file instead.")
    ] = None,
) -> None:
    """Create the job, update it, or find it unchanged; what is not given takes its default."""
    if file is not None:
        if job is not None or when != When() or what != What():
            raise InvalidJob("it says all there is to say: leave out the id and the other options", field="--file")
        ensure_file(where, file)
        return
    if job is None:
        raise InvalidJob("give the id of a job, or --file with many", field="id")
    wanted = definition(job, when, what)

    async def question(client: Client) -> tuple[str, JobView]:
        with as_options(_KEYWORDS):
            said = await client.ensure_job(**wanted)
        return said.value, await client.get_job(job)

    said, view = ask(where, question)
    Output(json=where.json).result({"outcome": said, "job": job_form(view)}, outcome(said, view), said)


@command(app, "submit")
def submit(
    where: Where,
    when: When,
    what: What,
    job: Id,
    unique_key: Annotated[
        str | None, typer.Option("--unique-key", metavar="KEY", help="Only if no job was submitted under it lately.")
    ] = None,
    unique_for: Annotated[
        str | None, typer.Option("--unique-for", metavar="24h", help="With --unique-key: within so long.")
    ] = None,
) -> None:
    """Create the job; it is an error (5) if it exists."""
    wanted = definition(job, when, what)
    if unique_key is not None:
        wanted["unique_key"] = unique_key
    elif unique_for is not None:
        raise InvalidJob("goes with --unique-key: give both, or leave it out", field="--unique-for")
    if unique_for is not None:
        wanted["unique_for"] = duration_of(unique_for, field="--unique-for")

    async def question(client: Client) -> JobView:
        with as_options(_KEYWORDS):
            return await client.submit_job(**wanted)

    view = ask(where, question)
    Output(json=where.json).result(job_form(view), outcome("created", view), "created")


@command(app, "remove")
def remove(
    where: Where,
    job: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the job; what runs goes on to its end, what waits is recorded as cancelled."""
    if not yes:
        _confirm(job)
    view = ask(where, lambda client: client.remove_job(job))
    Output(json=where.json).result({"removed": job, "job": job_form(view)}, f"removed {job}")


@command(app, "pause")
def pause(
    where: Where,
    job: Id,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="INSTANT", help="Go on by itself then: 2026-12-01T08:00:00Z."),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Shown with the job.")] = None,
) -> None:
    """Start no more runs of the job; what is running goes on."""
    end = None if until is None else instant_of(until, field="--until")
    if end is not None and end <= SystemClock().now():
        raise InvalidJob(f"{until} has passed: take an instant to come", field="--until")
    view = ask(where, lambda client: client.pause_job(job, until=end, reason=reason))
    Output(json=where.json).result(job_form(view), f"paused {job}{f' until {until}' if until else ''}", "paused")


@command(app, "resume")
def resume(where: Where, job: Id) -> None:
    """Go on with the job, from its first instant after now."""
    view = ask(where, lambda client: client.resume_job(job))
    Output(json=where.json).result(job_form(view), f"resumed {job}: {next_run(view)}", "active")


@command(app, "trigger")
def trigger(
    where: Where,
    job: Id,
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="JSON", help="Instead of the job's own.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; 1 if it is not ok.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="30s", help="With --wait: for how long.")
    ] = None,
) -> None:
    """Run the job now, besides its plan."""
    value = None if payload is None else json_value(payload, field="--payload")
    limit = limit_of(timeout, wait=wait)
    output = Output(json=where.json)

    async def question(client: Client) -> Any:  # noqa: ANN401 - an id or a record
        handle = await client.trigger_job(job, value)
        if not wait:
            return handle.execution_id
        output.note(f"triggered {handle.execution_id}")
        return await wait_for(handle, limit)

    answer = ask(where, question)
    if not wait:
        output.result({"job": job, "execution": answer}, f"triggered {answer}")
        return
    show_end(output, answer)


@command(app, "backfill")
def backfill(
    where: Where,
    job: Id,
    start: Annotated[str, typer.Option("--from", metavar="INSTANT", help="The first instant: 2026-12-01T08:00:00Z.")],
    end: Annotated[str, typer.Option("--to", metavar="INSTANT", help="The first one that is not meant any more.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would run.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for all ends; 1 if one is not ok.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="30m", help="With --wait: for how long.")
    ] = None,
) -> None:
    """Run the instants of the job's schedule in a time that has passed, each once, the oldest first."""
    first, last = instant_of(start, field="--from"), instant_of(end, field="--to")
    limit = limit_of(timeout, wait=wait)
    if dry_run and wait:
        raise InvalidJob("nothing runs, so there is nothing to wait for: leave one of the two out", field="--dry-run")
    output = Output(json=where.json)

    async def question(client: Client) -> tuple[Sequence[ExecutionHandle], Sequence[Record]]:
        with as_options({"start": "--from", "end": "--to"}):
            handles = await client.backfill_job(job, first, last, dry_run=dry_run)
        if not wait:
            return handles, ()
        output.note(f"asked for {len(handles)} runs of {job}")
        return handles, await wait_for_all(handles, limit)

    handles, records = ask(where, question)
    show_backfill(output, job, handles, records, dry_run=dry_run)


def _confirm(job: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidJob("nobody is there to be asked: say --yes", field="remove")
    if not typer.confirm(f"Remove {job} for good?", err=True):
        raise typer.Exit(1)
