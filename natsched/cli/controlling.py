"""`natsched execution cancel`, `pause`, `resume` and `retry`: what can be asked of one execution."""

from typing import Annotated, Final

import typer

from natsched.cli.asking import ask
from natsched.cli.flags import Where
from natsched.cli.output import Output
from natsched.cli.parameters import command
from natsched.cli.waiting import limit_of, wait_for
from natsched.client.client import Client
from natsched.core.executions import Record
from natsched.errors import InvalidJob

app: Final = typer.Typer()

Job = Annotated[str, typer.Argument(metavar="JOB", help="Its job.", show_default=False)]
Execution = Annotated[
    str, typer.Argument(metavar="EXECUTION", help="Its id, as `execution list JOB` has it.", show_default=False)
]


@command(app, "cancel")
def cancel(
    where: Where,
    job: Job,
    execution: Execution,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Kept in its record.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="30s", help="With --wait: no longer.")] = None,
) -> None:
    """End an execution that runs, or take out one that waits to begin or for another attempt."""
    seconds = limit_of(timeout, wait=wait)

    async def question(client: Client) -> Record | None:
        handle = await client.cancel_execution(job, execution, reason=reason)
        return await wait_for(handle, seconds) if wait else None

    record = ask(where, question)
    said = f"asked {execution} to end" if record is None else f"{execution} is {record.status}"
    status = "asked" if record is None else record.status.value
    Output(json=where.json).result({"job": job, "execution": execution, "status": status}, said, status)


@command(app, "pause")
def pause(where: Where, job: Job, execution: Execution) -> None:
    """Have a running execution wait at its next checkpoint, if its handler has any."""
    ask(where, lambda client: client.pause_execution(job, execution))
    said = f"{execution} waits at its next checkpoint"
    Output(json=where.json).result({"job": job, "execution": execution, "paused": True}, said, "paused")


@command(app, "resume")
def resume(where: Where, job: Job, execution: Execution) -> None:
    """Let an execution that was paused go on."""
    ask(where, lambda client: client.resume_execution(job, execution))
    said = f"{execution} goes on"
    Output(json=where.json).result({"job": job, "execution": execution, "paused": False}, said, "running")


@command(app, "retry")
def retry(
    where: Where,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Its job.")] = None,
    execution: Annotated[
        str | None, typer.Argument(metavar="[EXECUTION]", help="Its id; that of a dead one.")
    ] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="All that are dead, of the job or of all jobs, instead of one.")
    ] = False,
) -> None:
    """Give executions that failed one more attempt, now."""
    output = Output(json=where.json)
    if dead and execution is None:
        handles = ask(where, lambda client: client.retry_dead(job))
        what, brief = f"{len(handles)} executions", str(len(handles))
    elif dead or job is None or execution is None:
        raise InvalidJob("give a job and an execution of it, or --dead for all that are dead", field="EXECUTION")
    else:
        handles = [ask(where, lambda client: client.retry_execution(job, execution))]
        what = brief = execution
    asked = [{"job": handle.job_id, "execution": handle.execution_id} for handle in handles]
    output.result({"retried": asked}, f"asked for one more attempt of {what}", brief)
