"""Jobs written in a TOML file, one `[[job]]` table each, as the keywords of `Client.ensure_job`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from natsched.config.fields import Section
from natsched.config.problems import Problem, failure, invalid_values
from natsched.config.render import shipped
from natsched.config.sources import Layer, Origins, read_toml
from natsched.config.tables import JobsFile, JobTable, ScheduleTable
from natsched.core.chains import After
from natsched.core.schedules import Cron, Interval, Once, Schedule
from natsched.core.specs import OPTIONS, JobOptions, make_spec
from natsched.core.zones import EPOCH
from natsched.errors import InvalidJob, ScheduleError

_KINDS: Mapping[str, frozenset[str]] = {
    "cron": frozenset({"timezone", "skipped", "repeated"}),
    "every": frozenset({"fixed_delay"}),
    "at": frozenset(),
    "after": frozenset({"on"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOfJobs:
    """What a file says: each job has `id`, `schedule` and only those other keywords that the file gives."""

    path: Path
    owner: str | None
    jobs: tuple[dict[str, Any], ...]


def load_jobs(path: Path) -> list[dict[str, Any]]:
    """Load the jobs of a file, as `load_file` does."""
    return list(load_file(path).jobs)


def load_file(path: Path) -> FileOfJobs:
    """Load a file of jobs; raise ConfigError with all that is wrong, each problem with its job and its key."""
    values = read_toml(path)
    layer = Layer(values=values, label=str(path))
    owner, jobs = _read(values, f"The jobs in {path} are not valid:", Origins(layers=(layer,)))
    return FileOfJobs(path=path, owner=owner, jobs=jobs)


def read_jobs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the jobs of what such a file holds, as `load_jobs` does."""
    return list(_read(values, "The jobs are not valid:", Origins(layers=()))[1])


def _read(
    values: Mapping[str, Any], headline: str, origins: Origins
) -> tuple[str | None, tuple[dict[str, Any], ...]]:
    """Return the owner and the jobs of a file."""
    tables = values.get("job", [])
    problems: list[Problem] = []
    owner = None
    try:
        owner = JobsFile.model_validate({name: value for name, value in values.items() if name != "job"}).owner
    except ValidationError as error:
        problems += invalid_values(error, JobsFile, origins)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(Problem(path="job", reason="write each job as a table [[job]]"))
        tables = []
    jobs: dict[str, dict[str, Any]] = {}
    for number, table in enumerate(tables, start=1):
        try:
            job = _job(table)
            if job["id"] in jobs:
                raise InvalidJob("another job of this file has it: ids must differ", field="id")
            jobs[job["id"]] = job if owner is None else {"owner": owner, **job}
        except (ValidationError, ScheduleError, InvalidJob) as error:
            found = _problems(error)
            problems.extend(replace(problem, path=_place(number, table, problem.path)) for problem in found)
    if problems:
        raise failure(headline, problems)
    return owner, tuple(jobs.values())


def read_job(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return one job given as a table, as `load_jobs` does; the ConfigError carries its `problems`."""
    try:
        return _job(table)
    except (ValidationError, ScheduleError, InvalidJob) as error:
        raise failure("The job is not valid:", _problems(error)) from None


def sample_jobs() -> Path:
    """Return the file of the sample jobs that `natsched dev` runs."""
    return shipped("jobs.toml")


def _job(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that the table gives, and no defaults, which are the client's."""
    job = JobTable.model_validate(table)
    given = {name: getattr(job, name) for name in OPTIONS if name in job.model_fields_set}
    given |= _parsed(job, "payload", "metadata")
    if job.retry is not None:
        given["retry"] = _keys(job.retry)
    if job.webhook is not None:
        given["webhook"] = _keys(job.webhook)
    if job.target is not None:
        given["target"] = {"kind": job.target.kind, **_keys(job.target), **_parsed(job.target, "body")}
        given["target"].pop("body_json", None)
    schedule = _schedule(job)
    make_spec(schedule, anchor=EPOCH, **cast("JobOptions", given))
    return {"id": job.id, "schedule": schedule, **given}


def _keys(table: Section) -> dict[str, Any]:
    """Return what a table gives, with durations in seconds, as the core has them."""
    given = ((name, getattr(table, name)) for name in table.model_fields_set)
    return {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in given}


def _parsed(table: Section, *names: str) -> dict[str, Any]:
    """Return what stands in a table as JSON text instead; InvalidJob if it is said twice."""
    said = {}
    for name in names:
        text = getattr(table, f"{name}_json", None)
        if text is None:
            continue
        if name in table.model_fields_set:
            raise InvalidJob(f"stands beside {name}: leave one of the two out", field=f"{name}_json")
        said[name] = json.loads(text)
    return said


def _problems(error: ValidationError | ScheduleError | InvalidJob) -> Iterable[Problem]:
    if isinstance(error, ValidationError):
        return invalid_values(error, JobTable, Origins(layers=()))
    if isinstance(error, InvalidJob):
        path = (error.field or "job").replace("schedule.jobs", "after", 1)
        return [Problem(path=path, reason=error.message.removeprefix(f"{error.field}: "))]
    return [Problem(path="schedule", reason=error.message)]


def _schedule(job: JobTable) -> Schedule:
    """Return the schedule that the job's keys, or those of its `schedule` table, describe."""
    beside = job.model_fields_set & ScheduleTable.model_fields.keys()
    within = job.schedule.model_fields_set
    if beside and within:
        raise ScheduleError(f"{_listed(sorted(beside))} stands beside the table: put all of it on one side")
    table: ScheduleTable = job.schedule if within else job
    given = {name: getattr(table, name) for name in ScheduleTable.model_fields if name in (within or beside)}
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        found = f"{_listed(kinds)} are given" if kinds else "nothing says when the job runs"
        raise ScheduleError(
            f'{found}: give one of cron = "0 3 * * *", every = "10s", at = 2026-12-01T08:00:00Z or after = ["job"]'
        )
    for other, own in _KINDS.items():
        if other != kinds[0] and own & given.keys():
            raise ScheduleError(f"{_listed(sorted(own & given.keys()))} goes with {other}, not with {kinds[0]}")
    value = given.pop(kinds[0])
    match kinds[0]:
        case "cron":
            return Cron(value, **given)
        case "every":
            return Interval(period=value, **given)
        case "after":
            if unfit := given.keys() - {"on"}:
                raise ScheduleError(f"{_listed(sorted(unfit))} does not go with after: leave it out")
            return After(*value, **given)
        case _:
            return Once(value, **given)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _place(number: int, table: Mapping[str, Any], path: str) -> str:
    name = table.get("id")
    return f"job {number} {json.dumps(name)}, {path}" if isinstance(name, str) else f"job {number}, {path}"
