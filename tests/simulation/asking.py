"""What clients are drawn to ask for: jobs with few options of their own, and what is done to them later."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final, TypeAlias

from natsched.core.chains import After
from natsched.core.schedules import Cron, Interval, Once, Schedule
from tests.virtual import EPOCH

Asked: TypeAlias = tuple[float, str, Mapping[str, Any]]
Special: TypeAlias = Callable[[Random], Mapping[str, Any]]


def draw_jobs(random: Random, seconds: float, options: Mapping[str, Any]) -> Iterator[Asked]:
    """Draw what is asked for, when: each job is ensured, and some of them are changed, paused, removed and so on."""
    for at, what, given in _draw_jobs(random, seconds):
        if "options" in given:
            yield at, what, {**given, "options": _allowed({**given["options"], **options})}
        else:
            yield at, what, given


def _draw_jobs(random: Random, seconds: float) -> Iterator[Asked]:
    versions = itertools.count(1)
    for number in range(random.choice((1, 1, 2, 3))):
        job = f"j{number}"
        yield random.uniform(0.0, 2.0) + 2 * number, "ensures", _job(random, job, number, next(versions))
        for _ in range(random.choice((0, 1, 2, 4)) * max(1, round(seconds / 45))):
            yield from _change(random, job, number, random.uniform(3.0, seconds), versions)


def _change(
    random: Random, job: str, number: int, at: float, versions: Iterator[int], *, alone: bool = False
) -> Iterator[Asked]:
    what = random.choice(CHANGES)
    match what:
        case "ensures":
            yield at, what, _job(random, job, number, next(versions))
        case "pauses":
            until = random.choice((None, None, EPOCH + timedelta(seconds=at + 6)))
            yield at, what, {"job": job, "until": until}
            if random.random() < 0.8:
                yield at + random.uniform(0.0, 12.0), "resumes", {"job": job}
        case "removes":
            yield at, what, {"job": job}
            if random.random() < 0.8:
                yield at + random.uniform(0.0, 6.0), "ensures", _job(random, job, number, next(versions))
        case "backfills":
            yield at, what, {"job": job, "seconds": random.choice((3.0, 10.0))}
        case "submits":
            yield from _submissions(random, job, at, versions)
        case _:
            yield at, what, {"job": job}
    if not alone and random.random() < 0.3:  # somebody else does something to it at the same moment
        yield from _change(random, job, number, at + random.choice((0.0, 0.001, 0.004)), versions, alone=True)


def _submissions(random: Random, job: str, at: float, versions: Iterator[int]) -> Iterator[Asked]:
    """Submit the same under two ids at nearly the same moment, with one key."""
    due = Once(EPOCH + timedelta(seconds=at + random.uniform(0.1, 5.0)))
    for number in range(2):
        version = next(versions)
        options = {"metadata": {"version": version, "lasts": 0.5}, "catch_up": "all"}
        name = f"{job}-s{number}-{version}"
        given = {"job": name, "schedule": due, "options": options, "unique_key": f"{job} at {at:.6f}"}
        yield at + number * random.choice((0.0, 0.002, 0.5)), "submits", given


CHANGES: Final = (
    *("ensures", "ensures", "pauses", "resumes", "triggers", "triggers", "removes"),
    *("cancels", "retries", "backfills", "submits"),
)


def _job(random: Random, job: str, number: int, version: int) -> Mapping[str, Any]:
    special: dict[str, Any] = {}
    for name in random.sample(list(SPECIALS), random.choice((0, 0, 1, 1, 2))):
        special |= SPECIALS[name](random)
    lasts = random.choice((0.0, 0.5, 2.5, 7.0))
    options: dict[str, Any] = {
        "metadata": {"version": version, "lasts": lasts, "fails": special.pop("fails", "")},
        "overlap": random.choice(("skip", "skip", "queue", "replace", "allow")),
        "catch_up": random.choice(("latest", "latest", "earliest", "all", "all", "none")),
        "catch_up_limit": 1000,
        "delivery": random.choice(("at_least_once", "at_least_once", "at_least_once", "at_most_once")),
        "max_crashes": 50,
    }
    if options["catch_up"] == "none":
        options["tolerance"] = random.choice((1.0, 5.0))
    limit = special.pop("max_runs", None)
    options |= special
    return {"job": job, "schedule": _schedule(random, number, limit), "options": _allowed(options)}


def _allowed(options: dict[str, Any]) -> Mapping[str, Any]:
    """Leave out what contradicts the rest."""
    if "retry" in options:
        options["delivery"] = "at_least_once"
    if options.get("scope") == "all" or options.get("primary_only"):
        options.pop("concurrency_key", None)
    if options.get("scope") == "all":
        options.pop("primary_only", None)
        options.pop("max_concurrency", None)
    if options["catch_up"] == "none":
        options.pop("catch_up_window", None)
    if options.get("delivery") == "at_most_once":
        options.pop("retry", None)
    return options


SPECIALS: Final[Mapping[str, Special]] = {
    "retries": lambda random: {
        "retry": {"max_attempts": 3, "backoff": "fixed", "base": random.choice((0.3, 2.0)), "jitter": 0.0},
        "fails": random.choice(("first", "first", "always")),
    },
    "asks for a retry": lambda random: {"fails": random.choice(("retry", "abort"))},
    "everywhere": lambda _: {"scope": "all"},
    "primary": lambda _: {"primary_only": True},
    "group": lambda _: {"concurrency_key": "g"},
    "deadline": lambda random: {"deadline": random.choice((3.0, 6.0))},
    "timeout": lambda random: {"timeout": random.choice((0.3, 1.0))},
    "limit": lambda random: {"max_runs": random.choice((2, 5))},
    "crashes": lambda random: {"max_crashes": random.choice((0, 1))},
    "pause": lambda _: {"auto_pause_after": 2, "fails": "always"},
    "history": lambda random: {"history": random.choice(("failures", "none"))},
    "several": lambda _: {"max_concurrency": 2},
    "window": lambda _: {"catch_up_window": 5.0},
}


def _schedule(random: Random, number: int, limit: int | None) -> Schedule:
    if number and limit is None and random.random() < 0.3:
        return After("j0", on=random.choice(("success", "any", "failure")))
    match random.choice(("interval", "interval", "interval", "cron", "jitter", "delay", "once")):
        case "cron":
            return Cron("*/5 * * * * *", max_runs=limit)
        case "jitter":
            return Interval(seconds=5, jitter=2, max_runs=limit)
        case "delay":
            return Interval(seconds=4, fixed_delay=True, max_runs=limit)
        case "once":
            return Once(EPOCH + timedelta(seconds=random.uniform(1.0, 40.0)))
        case _:
            return Interval(seconds=random.choice((1, 2, 3, 7, 13)), max_runs=limit)
