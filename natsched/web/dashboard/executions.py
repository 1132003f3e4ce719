"""The pages of executions: what ran, runs and did not run, and one with all of its attempts."""

from collections.abc import Sequence
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.client.details import record_details
from natsched.config.durations import Duration
from natsched.config.fields import Section
from natsched.core.executions import ExecutionStatus, Record
from natsched.errors import JobNotFound
from natsched.web.dashboard.jobs import ENDS
from natsched.web.dashboard.rendering import Renderer, read
from natsched.web.dashboard.wording import words
from natsched.web.site import Site

_LISTED: Final = 100
_BUSY: Final = 20
"""Of how many jobs the executions that run are looked up."""

_PATIENCE: Final = 0.5
_SINCE: Final = (("1h", "the last hour"), ("1d", "the last day"), ("7d", "the last week"))
_SAID: Final = {
    "cancelled": "It was asked to end.",
    "retried": "One more attempt was asked for; it is shown below as soon as a replica takes it.",
}


class Listing(Section):
    """What the address of a page of executions says."""

    job: str = ""
    status: Literal[""] | ExecutionStatus = ""
    missed: Literal["", "1"] = ""
    within: Duration | None = None


def routes(renderer: Renderer) -> list[Route]:
    """Return the routes of the pages of executions."""
    site = renderer.site

    async def all_executions(request: Request) -> Response:
        asked = read(Listing, request.query_params)
        records = await site.client.executions(
            asked.job or None,
            limit=_LISTED,
            missed=bool(asked.missed),
            status=(asked.status,) if asked.status else (),
            since=None if asked.within is None else site.clock.now() - asked.within,
        )
        running = [record for record in records if record.status is ExecutionStatus.RUNNING]
        return renderer.page(
            request,
            "executions.html",
            events=asked.job,
            asked=asked,
            within=request.query_params.get("within", ""),
            running=running if asked.job else await _running(site),
            records=[record for record in records if record.status is not ExecutionStatus.RUNNING],
            is_full=len(records) == _LISTED,
            statuses=[(status.value, words(status.value)) for status in ENDS],
            since=_SINCE,
        )

    async def one_execution(request: Request) -> Response:
        records = await _attempts(site, request)
        return renderer.page(
            request,
            "execution.html",
            events=records[0].job,
            newest=records[0],
            attempts=[(record, _details(record)) for record in records],
            said=_SAID.get(request.query_params.get("said", "")),
        )

    async def ask_cancel(request: Request) -> Response:
        records = await _attempts(site, request)
        return renderer.page(request, "cancel.html", newest=records[0])

    return [
        renderer.route("/executions", all_executions),
        renderer.route("/executions/{job}/{execution}", one_execution),
        renderer.route("/executions/{job}/{execution}/cancel", ask_cancel),
    ]


async def _attempts(site: Site, request: Request) -> Sequence[Record]:
    job, execution = request.path_params["job"], request.path_params["execution"]
    records = await site.client.executions(job, execution)
    if not records:  # what falls due in a pause that lasts is not recorded yet
        records = await site.client.executions(job, execution, missed=True)
    if not records:
        raise JobNotFound(f"There is no record of {execution} of {job}: did it not begin yet, or run long ago?")
    return records


async def _running(site: Site) -> Sequence[Record]:
    """Return the executions that run, of the first jobs that have some."""
    busy = sorted(entry.id for entry in await site.index.look(_PATIENCE) if entry.running)
    found: list[Record] = []
    for job in busy[:_BUSY]:
        found += await site.client.executions(job, status=(ExecutionStatus.RUNNING,), limit=_BUSY)
    return [record for record in found if record.status is ExecutionStatus.RUNNING]


def _details(record: Record) -> Sequence[tuple[str, str]]:
    """Return what is shown as a list: long texts have places of their own."""
    elsewhere = {"job", "execution", "attempt", "status", "result", "error", "traceback", "said last", "metadata"}
    return [(name, text) for name, text in record_details(record) if text not in ("", "-") and name not in elsewhere]
