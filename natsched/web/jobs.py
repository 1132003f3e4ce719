"""The operations on jobs."""

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from natsched.client.forms import iso, job_document, job_form, upcoming_form
from natsched.client.views import JobView
from natsched.config.durations import Duration
from natsched.config.fields import Count, Section, Text
from natsched.config.jobs import read_job, read_jobs
from natsched.config.tables import Instant
from natsched.errors import InvalidJob
from natsched.web.operations import Asked, Operation

_MOST: Final = 1000


class Listing(Section):
    """Which jobs: those below a prefix of whole tokens, and from which page on."""

    prefix: str = ""
    limit: Annotated[int, Field(ge=1, le=_MOST)] = 100
    after: Text | None = None


class Submission(Section):
    """Once under that key within so long."""

    unique_key: Text | None = None
    unique_for: Duration = timedelta(days=1)


class Pause(Section):
    """Until when, and why."""

    until: Instant | None = None
    reason: str | None = None


class Trigger(Section):
    """What the run is given instead of the job's own payload."""

    payload: JsonValue = None


class Backfill(Section):
    """The instants from `start` on and before `end`; with `dry_run` they are only told."""

    start: Instant
    end: Instant
    dry_run: bool = False


class Upcoming(Section):
    """How many instants."""

    limit: Annotated[Count, Field(ge=1, le=_MOST)] = 10


async def list_jobs(asked: Asked) -> object:
    query: Listing = asked.query
    page = await asked.client.list_jobs(query.prefix, limit=query.limit, after=query.after)
    return {"jobs": [job_form(view) for view in page.jobs], "next": page.next}


async def get_job(asked: Asked) -> object:
    return _whole(await asked.client.get_job(asked.path["job"]))


async def ensure_job(asked: Asked) -> object:
    job = _given(asked)
    said = await asked.client.ensure_job(**job)
    return {"outcome": said.value, "job": job_form(await asked.client.get_job(job["id"]))}


async def ensure_jobs(asked: Asked) -> object:
    found = await asked.client.ensure_jobs(read_jobs(asked.body))
    return {"created": found.created, "updated": found.updated, "unchanged": found.unchanged}


async def submit_job(asked: Asked) -> object:
    query: Submission = asked.query
    job = read_job(asked.body)
    return job_form(await asked.client.submit_job(**job, unique_key=query.unique_key, unique_for=query.unique_for))


async def remove_job(asked: Asked) -> object:
    return job_form(await asked.client.remove_job(asked.path["job"]))


async def pause_job(asked: Asked) -> object:
    body: Pause = asked.body
    return job_form(await asked.client.pause_job(asked.path["job"], until=body.until, reason=body.reason))


async def resume_job(asked: Asked) -> object:
    return job_form(await asked.client.resume_job(asked.path["job"]))


async def trigger_job(asked: Asked) -> object:
    handle = await asked.client.trigger_job(asked.path["job"], asked.body.payload)
    return {"job": handle.job_id, "execution": handle.execution_id}


async def backfill_job(asked: Asked) -> object:
    job, body = asked.path["job"], asked.body
    handles = await asked.client.backfill_job(job, body.start, body.end, dry_run=body.dry_run)
    told = [{"execution": handle.execution_id, "due": iso(handle.due)} for handle in handles]
    return {"job": job, "dry_run": body.dry_run, "asked": told}


async def upcoming_runs(asked: Asked) -> object:
    job = asked.path["job"]
    found = await asked.client.upcoming_runs(job, limit=asked.query.limit)
    return {"job": job, "runs": [upcoming_form(one) for one in found]}


def _given(asked: Asked) -> dict[str, Any]:
    """Return the job of the body, whose id the path says; the body may say the same."""
    job = asked.path["job"]
    if asked.body.get("id", job) != job:
        raise InvalidJob(f"it is another one than that of the path, {job}: leave it out", field="id")
    return read_job({**asked.body, "id": job})


def _whole(view: JobView) -> dict[str, Any]:
    return {**job_form(view), "document": job_document(view)}


OPERATIONS: Final = (
    Operation(
        name="listJobs",
        method="GET",
        path="/jobs",
        summary="List jobs; `next` of an answer is the `after` of the next page.",
        do=list_jobs,
        query=Listing,
        returns="JobPage",
    ),
    Operation(
        name="ensureJobs",
        method="PUT",
        path="/jobs",
        summary="Ensure many jobs, written as in a file of jobs.",
        do=ensure_jobs,
        takes="Jobs",
        returns="Ensured",
        limit=60,
    ),
    Operation(
        name="submitJob",
        method="POST",
        path="/jobs",
        summary="Create a job that does not exist.",
        do=submit_job,
        query=Submission,
        takes="JobTable",
        returns="Job",
        status=201,
        fails=(409,),
    ),
    Operation(
        name="getJob",
        method="GET",
        path="/jobs/{job}",
        summary="Show all there is to know of a job.",
        do=get_job,
        returns="WholeJob",
        fails=(404,),
    ),
    Operation(
        name="ensureJob",
        method="PUT",
        path="/jobs/{job}",
        summary="Create the job, update it, or find it unchanged.",
        do=ensure_job,
        takes="JobWithoutId",
        returns="EnsuredJob",
    ),
    Operation(
        name="removeJob",
        method="DELETE",
        path="/jobs/{job}",
        summary="Remove the job; what is running ends unrecorded, what waits is recorded as cancelled.",
        do=remove_job,
        returns="Job",
        fails=(404,),
    ),
    Operation(
        name="pauseJob",
        method="POST",
        path="/jobs/{job}/pause",
        summary="Start no more runs of the job; what is running goes on.",
        do=pause_job,
        form=Pause,
        returns="Job",
        fails=(404,),
    ),
    Operation(
        name="resumeJob",
        method="POST",
        path="/jobs/{job}/resume",
        summary="Go on with the job, from its first instant after now.",
        do=resume_job,
        returns="Job",
        fails=(404,),
    ),
    Operation(
        name="triggerJob",
        method="POST",
        path="/jobs/{job}/trigger",
        summary="Run the job now, besides its plan.",
        do=trigger_job,
        form=Trigger,
        returns="ExecutionId",
        status=202,
        fails=(404, 409),
    ),
    Operation(
        name="backfillJob",
        method="POST",
        path="/jobs/{job}/backfill",
        summary="Run the instants of the job's schedule in a time that has passed, each once.",
        do=backfill_job,
        form=Backfill,
        returns="Backfilled",
        status=202,
        fails=(404, 409),
    ),
    Operation(
        name="upcomingRuns",
        method="GET",
        path="/jobs/{job}/upcoming",
        summary="Tell the next instants of the job's schedule.",
        do=upcoming_runs,
        query=Upcoming,
        returns="Upcoming",
        fails=(404,),
    ),
)
