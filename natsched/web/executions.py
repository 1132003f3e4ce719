"""The operations on executions."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Final

import anyio
from pydantic import Field

from natsched.client.forms import record_form, whole_record_form
from natsched.client.handle import ExecutionHandle
from natsched.config.durations import Duration, lasting
from natsched.config.fields import Section, Text
from natsched.config.tables import Instant
from natsched.core.executions import ExecutionStatus
from natsched.errors import ExecutionFailed, InvalidJob, JobNotFound
from natsched.web.operations import Asked, Operation

_MOST: Final = 1000


class Listing(Section):
    """Which executions: of a job, that ended so, that did not run, since an instant or for so long."""

    job: Text | None = None
    status: tuple[ExecutionStatus, ...] = ()
    missed: bool = False
    since: Instant | None = None
    within: Duration | None = None
    limit: Annotated[int, Field(ge=1, le=_MOST)] = 100


class Wait(Section):
    """For how long its end is waited for."""

    wait: Annotated[Duration, lasting("0s", "60s")] = timedelta(0)


class Dead(Section):
    """Of which job, and how many at most."""

    job: Text | None = None
    limit: Annotated[int, Field(ge=1, le=_MOST)] = _MOST


class Cancel(Section):
    """Why; it is kept in the record."""

    reason: str | None = None


async def list_executions(asked: Asked) -> object:
    query: Listing = asked.query
    if query.since is not None and query.within is not None:
        raise InvalidJob("since says it too: leave one of the two out", field="within")
    since = query.since if query.within is None else asked.clock.now() - query.within
    records = await asked.client.executions(
        query.job, limit=query.limit, missed=query.missed, status=query.status, since=since
    )
    return {"executions": [record_form(record) for record in records]}


async def get_execution(asked: Asked) -> object:
    job, execution = _which(asked.path)
    if asked.query.wait:
        with anyio.move_on_after(asked.query.wait.total_seconds()), suppress(ExecutionFailed):
            await asked.client.execution(job, execution).wait()
    records = await asked.client.executions(job, execution)
    if not records:
        raise JobNotFound(f"There is no record of {execution} of {job}: did it never run, or long ago?")
    return {"attempts": [whole_record_form(record) for record in records]}


async def cancel_execution(asked: Asked) -> object:
    return _id(await asked.client.cancel_execution(*_which(asked.path), reason=asked.body.reason))


async def pause_execution(asked: Asked) -> object:
    job, execution = _which(asked.path)
    await asked.client.pause_execution(job, execution)
    return {"job": job, "execution": execution}


async def resume_execution(asked: Asked) -> object:
    job, execution = _which(asked.path)
    await asked.client.resume_execution(job, execution)
    return {"job": job, "execution": execution}


async def retry_execution(asked: Asked) -> object:
    return _id(await asked.client.retry_execution(*_which(asked.path)))


async def retry_dead(asked: Asked) -> object:
    handles = await asked.client.retry_dead(asked.body.job, limit=asked.body.limit)
    return {"retried": [_id(handle) for handle in handles]}


def _which(path: Mapping[str, str]) -> tuple[str, str]:
    return path["job"], path["execution"]


def _id(handle: ExecutionHandle) -> dict[str, str]:
    return {"job": handle.job_id, "execution": handle.execution_id}


_ONE: Final = "/jobs/{job}/executions/{execution}"

OPERATIONS: Final = (
    Operation(
        name="listExecutions",
        method="GET",
        path="/executions",
        summary="List executions, the newest first; of one job those that run come before.",
        do=list_executions,
        query=Listing,
        returns="Executions",
    ),
    Operation(
        name="retryDead",
        method="POST",
        path="/executions/retry-dead",
        summary="Give all executions that are dead, or those of a job, one more attempt, now.",
        do=retry_dead,
        form=Dead,
        returns="Retried",
        status=202,
        limit=60,
    ),
    Operation(
        name="getExecution",
        method="GET",
        path=_ONE,
        summary="Show the attempts of one execution, the newest first; with `wait` once it has ended.",
        do=get_execution,
        query=Wait,
        limit=75,
        returns="Attempts",
        fails=(404,),
    ),
    Operation(
        name="cancelExecution",
        method="POST",
        path=f"{_ONE}/cancel",
        summary="End an execution that runs, or take out one that waits.",
        do=cancel_execution,
        form=Cancel,
        returns="ExecutionId",
        status=202,
        fails=(404,),
    ),
    Operation(
        name="pauseExecution",
        method="POST",
        path=f"{_ONE}/pause",
        summary="Have a running execution wait at its next checkpoint.",
        do=pause_execution,
        returns="ExecutionId",
        status=202,
        fails=(404,),
    ),
    Operation(
        name="resumeExecution",
        method="POST",
        path=f"{_ONE}/resume",
        summary="Let an execution that was paused go on.",
        do=resume_execution,
        returns="ExecutionId",
        status=202,
        fails=(404,),
    ),
    Operation(
        name="retryExecution",
        method="POST",
        path=f"{_ONE}/retry",
        summary="Give an execution that failed one more attempt, now.",
        do=retry_execution,
        returns="ExecutionId",
        status=202,
        fails=(404,),
    ),
)
