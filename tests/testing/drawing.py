"""Histories of an honest scheduler, drawn: a job, how long its runs take, and what befalls it."""

from datetime import timedelta
from random import Random
from typing import Any

from natsched.core.backoff import RetryPolicy
from natsched.core.jobs import Spec
from natsched.core.schedules import Cron, Interval, Once
from natsched.testing import Outage
from tests.factories import NOON
from tests.testing.model import REPLICAS, Model

END = NOON + timedelta(minutes=10)
CALM = NOON + timedelta(minutes=8)
SCHEDULES = (
    Interval(seconds=7),
    Interval(seconds=20, jitter=4),
    Interval(seconds=30, start_at=NOON + timedelta(minutes=1), end_at=NOON + timedelta(minutes=5)),
    Interval(seconds=25, max_runs=5),
    Interval(seconds=15, fixed_delay=True),
    Interval(seconds=15, fixed_delay=True, max_runs=4),
    Cron("*/30 * * * * *"),
    Cron("* * * * *", timezone="Europe/Berlin"),
    Once(NOON + timedelta(minutes=3)),
)


def spec_of(random: Random, **given: Any) -> Spec:
    """Any definition, but for what is given."""
    drawn: dict[str, Any] = {
        "schedule": random.choice(SCHEDULES),
        "overlap": random.choice(("skip", "skip", "queue", "replace", "allow")),
        "catch_up": random.choice(("latest", "earliest", "none", "all")),
        "catch_up_limit": random.choice((2, 100)),
        "tolerance": random.choice((0.5, 30.0)),
        "delivery": random.choice(("at_least_once", "at_least_once", "at_most_once")),
        "max_concurrency": random.choice((None, None, 2)),
        "deadline": random.choice((None, None, 25.0)),
        "max_crashes": random.choice((0, 1, 3)),
        "scope": random.choice(("one", "one", "one", "all")),
    }
    if drawn["catch_up"] != "none":
        drawn["catch_up_window"] = random.choice((None, None, 40.0))
    if drawn["delivery"] == "at_least_once":
        drawn["retry"] = random.choice((None, RetryPolicy(max_attempts=3, base=2.0)))
    if drawn["scope"] == "all":
        drawn["max_concurrency"] = None
    return Spec(anchor=NOON, **{**drawn, **given})


def model_of(seed: int, *, calm: bool = False, **given: Any) -> Model:
    """A model with all that befalls it before it is run; when `calm` nothing does."""
    random = Random(seed)
    longest = random.choice((1.0, 6.0, 40.0))
    failing = random.choice((0.0, 0.0, 0.3))
    model = Model(
        takes=lambda: timedelta(seconds=0.2 if calm else random.uniform(0.1, longest)),
        fails=lambda: not calm and random.random() < failing,
    )
    spec = spec_of(random, **given)
    model.at(NOON, lambda: model.create(spec))
    for _ in range(0 if calm else random.randrange(6)):
        at = NOON + timedelta(seconds=random.uniform(0, 480))
        until = random.choice((None, at + timedelta(seconds=random.uniform(1, 90))))
        other, name = spec_of(random), random.choice(REPLICAS)
        match random.randrange(8):
            case 0:
                model.at(at, lambda other=other: model.update(other))  # type: ignore[misc]
            case 1:
                model.at(at, lambda until=until: model.pause(until))  # type: ignore[misc]
                model.at(at + timedelta(seconds=random.uniform(1, 120)), model.resume)
            case 2:
                model.at(at, model.trigger)
            case 3:
                model.at(at, model.remove)
                model.at(at + timedelta(seconds=random.uniform(0, 60)), lambda other=other: model.create(other))  # type: ignore[misc]
            case 4:
                model.outages.append(Outage(at=at, back=at + timedelta(seconds=random.uniform(0.5, 70))))
            case _:
                model.at(at, lambda name=name: model.die(name))  # type: ignore[misc]
    return model
