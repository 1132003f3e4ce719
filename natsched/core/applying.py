"""Files of jobs against what there is: what is to be created, changed field by field, and pruned.

A job says who owns it. A file changes jobs of its own owner and those that have none; it removes only those of its
owner that it names no more. What was laid out is then done to the very definitions that it was laid out for: each
step has a check of what is there by then.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from natsched.core.chains import After
from natsched.core.documents import spec_document
from natsched.core.jobs import Job, JobId, Spec
from natsched.core.masking import shown
from natsched.core.schedules import describe
from natsched.core.specs import OPTIONS
from natsched.errors import InvalidJob, JobChanged, JobOwned

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SECONDS: Final = frozenset(
    {
        ("timeout",),
        ("deadline",),
        ("tolerance",),
        ("catch_up_window",),
        ("retry", "base"),
        ("retry", "max_delay"),
        ("target", "grace"),
        ("target", "heartbeat"),
    }
)
_KEYS: Final[Mapping[str, str]] = {"expression": "cron", "period": "every", "at": "at", "jobs": "after"}
"""What a file calls the fields of schedules that are called otherwise there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job as a file wants it; `source` is the file."""

    id: JobId
    spec: Spec
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field, as a file would write its path, and its values; secrets are masked, None is not there."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A job that is there and wanted otherwise."""

    wanted: Wanted
    job: Job
    differences: tuple[Difference, ...]

    def check(self, job: Job | None) -> None:
        """Raise `JobChanged` if another definition is there by now than the one that was shown."""
        if job is None:
            raise JobChanged(f"{self.wanted.id} was removed meanwhile", job=self.wanted.id)
        if differences(job.spec, self.wanted.spec):
            _check_same(self.job, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A job that no file of its owner names any more."""

    job: Job

    def check(self, job: Job | None) -> None:
        """Raise `JobChanged` if another definition is there by now than the one that was shown."""
        if job is not None:
            _check_same(self.job, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A job that is not there."""

    wanted: Wanted

    def check(self, job: Job | None) -> None:
        """Raise `JobChanged` if somebody else has created another one meanwhile."""
        if job is not None and differences(job.spec, self.wanted.spec):
            raise JobChanged(f"{job.id} was created meanwhile", job=job.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is to be done, in the order of ids, and what is as it should be."""

    created: tuple[Creation, ...] = ()
    updated: tuple[Update, ...] = ()
    pruned: tuple[Removal, ...] = ()
    unchanged: tuple[JobId, ...] = ()

    @property
    def has_changes(self) -> bool:
        return bool(self.created or self.updated or self.pruned)


def outline(
    wanted: Iterable[Wanted], there: Mapping[JobId, Job], owned: Iterable[Job] = (), *, take_over: bool = False
) -> Outline:
    """Lay out what leads from the jobs that are `there` to those wanted; of `owned` the others are removed.

    Raise `InvalidJob` if two files name a job, or one is to run after a job that will not be there, and `JobOwned`
    if one belongs to another owner, unless it is taken over.
    """
    by_id = _by_id(wanted)
    if not take_over:
        _check_owners(by_id, there)
    removed = {job.id: Removal(job=job) for job in owned if job.id not in by_id}
    _check_chains(by_id, there.keys() - removed.keys())
    created, updated, unchanged = [], [], []
    for id_, one in sorted(by_id.items()):
        job = there.get(id_)
        if job is None:
            created.append(Creation(wanted=one))
        elif found := differences(job.spec, one.spec):
            updated.append(Update(wanted=one, job=job, differences=found))
        else:
            unchanged.append(id_)
    pruned = tuple(removal for _, removal in sorted(removed.items()))
    return Outline(created=tuple(created), updated=tuple(updated), pruned=pruned, unchanged=tuple(unchanged))


def upstream_of(wanted: Iterable[Wanted]) -> set[JobId]:
    """Return the jobs that these are to run after."""
    chains = (one.spec.schedule for one in wanted)
    return {JobId(job) for schedule in chains if isinstance(schedule, After) for job in schedule.jobs}


def differences(before: Spec, after: Spec) -> tuple[Difference, ...]:
    """Return in which fields of what is asked for two specs differ; durations are compared to the microsecond."""
    old, new = _asked(before), _asked(after)
    found = []
    if before.schedule.kind != after.schedule.kind:
        found.append(Difference(field="schedule", before=describe(before.schedule), after=describe(after.schedule)))
        common = {"start_at", "end_at", "max_runs", "jitter"}
        for document in (old, new):
            document["schedule"] = {key: value for key, value in document["schedule"].items() if key in common}
    for path, left, right in _apart((), old, new):
        found.append(Difference(field=_written(path), before=shown(path, left), after=shown(path, right)))
    return tuple(found)


def _asked(spec: Spec) -> dict[str, Any]:
    document = spec_document(spec)
    asked: dict[str, Any] = {name: document[name] for name in ("schedule", *OPTIONS) if name in document}
    for path in _SECONDS:
        inner = asked
        for name in path[:-1]:
            inner = inner.get(name, {})
        if path[-1] in inner:
            inner[path[-1]] = round(inner[path[-1]], 6)
    return asked


def _apart(path: tuple[str, ...], old: Any, new: Any) -> Iterable[tuple[tuple[str, ...], Any, Any]]:  # noqa: ANN401
    """Yield where two values of JSON differ, tables key by key."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _apart((*path, name), old.get(name), new.get(name))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, old, new


def _written(path: Sequence[str]) -> str:
    if path[0] == "schedule":
        path = [_KEYS.get(path[1], path[1])]
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part) for part in path)


def _by_id(wanted: Iterable[Wanted]) -> dict[JobId, Wanted]:
    by_id: dict[JobId, Wanted] = {}
    for one in wanted:
        other = by_id.setdefault(one.id, one)
        if other is not one:
            raise InvalidJob(f"both {other.source} and {one.source} name it: keep it in one", field=one.id)
    return by_id


def _check_owners(wanted: Mapping[JobId, Wanted], there: Mapping[JobId, Job]) -> None:
    refused = []
    for id_, one in wanted.items():
        owner = there[id_].spec.owner if id_ in there else None
        if owner not in (None, one.spec.owner):
            mine = f'is of "{one.spec.owner}"' if one.spec.owner else "names no owner"
            refused.append(f'{id_} belongs to "{owner}", and {one.source} {mine}')
    if refused:
        raise JobOwned(f"{'; '.join(refused)}: take over what is meant to move", jobs=refused)


def _check_chains(wanted: Mapping[JobId, Wanted], stays: Iterable[JobId]) -> None:
    known = {*wanted, *stays}
    for id_, one in wanted.items():
        for missing in sorted(upstream_of([one]) - known):
            raise InvalidJob(
                f"there will be no job {missing} that it could run after: name that as well", field=f"{id_}, after"
            )


def _check_same(shown_one: Job, job: Job) -> None:
    apart = differences(shown_one.spec, job.spec)
    if apart or job.uid != shown_one.uid:
        what = ", ".join(difference.field for difference in apart) or "it was created anew"
        raise JobChanged(f"{job.id} was changed meanwhile: {what}", job=job.id)
