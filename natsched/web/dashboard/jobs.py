"""The pages of jobs: all of them, filtered, and one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.client.details import job_details
from natsched.client.forms import job_document
from natsched.client.views import JobView, view
from natsched.core.executions import ExecutionStatus
from natsched.core.jobs import Job
from natsched.core.pauses import left_out_by_pause
from natsched.web.dashboard.drawing import durations, timeline
from natsched.web.dashboard.finding import Filter, Found, find
from natsched.web.dashboard.rendering import Renderer, address, read
from natsched.web.dashboard.wording import words
from natsched.web.index import NEVER, JobIndex
from natsched.web.site import Site

_DRAWN: Final = 100
_LISTED: Final = 12
_UPCOMING: Final = 10
_PATIENCE: Final = 0.8
"""For how many seconds a page waits for a new look at all jobs; then it shows what is known."""

_SAID: Final = {
    "paused": "Paused: no more runs are begun.",
    "resumed": "Resumed, with the first instant after now.",
    "triggered": "A run was asked for; it is shown below as soon as a replica takes it.",
}
ENDS: Final = [
    status for status in ExecutionStatus if status not in (ExecutionStatus.PLANNED, ExecutionStatus.RUNNING)
]


def routes(renderer: Renderer) -> list[Route]:
    """Return the routes of the pages of jobs."""
    site = renderer.site

    async def all_jobs(request: Request) -> Response:
        asked = read(Filter, request.query_params)
        found, views = await _look(site, asked)
        return renderer.page(
            request,
            "jobs.html",
            events="",
            asked=asked,
            found=found,
            views=views,
            soonest=_instant(found),
            index=site.index,
            statuses=[(status.value, words(status.value)) for status in ENDS],
        )

    async def one_job(request: Request) -> Response:
        return await job_page(renderer, request)

    return [renderer.route("/", all_jobs), renderer.route("/jobs/{job}", one_job)]


async def job_page(renderer: Renderer, request: Request) -> Response:
    """Return the page of a job."""
    client, now, job = renderer.site.client, renderer.site.clock.now(), request.path_params["job"]
    shown = await client.get_job(job)
    records = await client.executions(job, limit=_DRAWN)
    paused = left_out_by_pause(shown.document, now)
    left_out = [record for record in records if record.did_not_run]
    ran = [record for record in records if record.status is not ExecutionStatus.RUNNING]
    return renderer.page(
        request,
        "job.html",
        events=shown.id,
        job=shown,
        details=_details(shown, now),
        document=job_document(shown),
        upcoming=await client.upcoming_runs(job, limit=_UPCOMING),
        running=[record for record in records if record.status is ExecutionStatus.RUNNING],
        recent=ran[:_LISTED],
        number=len(ran),
        missed=[*([paused] if paused else []), *left_out][:_LISTED],
        timeline=timeline(records, now),
        durations=durations(records),
        said=_SAID.get(request.query_params.get("said", "")),
        executions=address("/executions", job=shown.id),
    )


def _details(shown: JobView, now: datetime) -> Sequence[tuple[str, str]]:
    """Return what its page does not show elsewhere."""
    elsewhere = {"id", "state", "reason", "schedule", "next run", "running", "last run", "last error", "paused until"}
    elsewhere |= {"runs", "ended"}
    return [(name, text) for name, text in job_details(shown, now) if text not in ("", "-") and name not in elsewhere]


def _instant(found: Found) -> datetime | None:
    """Return when the soonest of all jobs is to run."""
    if found.soonest is None or found.soonest.next == NEVER:
        return None
    return datetime.fromtimestamp(found.soonest.next, UTC)


async def _look(site: Site, asked: Filter) -> tuple[Found, Sequence[JobView]]:
    """Find the jobs of a page and read them; those that are gone are left out."""
    index: JobIndex = site.index
    now = site.clock.now()
    found = await find(await index.look(_PATIENCE), asked)
    stored = await site.backend.jobs.read_many([entry.id for entry in found.entries]) if found.entries else {}
    ordered = [stored[entry.id] for entry in found.entries]
    views = [view(one.job, now) for one in ordered if isinstance(one.job, Job)]
    index.drop(one.id for one in ordered if one.job is None)
    return found, views
