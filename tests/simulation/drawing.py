"""What a seed makes happen, drawn up front: a list of steps, any of which may be left out.

So a history can be told in advance, and what breaks a promise be shortened to the steps that it takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.simulation.asking import draw_jobs

SLOTS: Final = ("r1", "r2", "r3")
"""The places of the replicas: one that went is followed by another in its place."""

CLIENTS: Final = ("c1", "c2")
SERVER: Final = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What befalls whom, for how long: at a second of the server's clock, or with its `nth` question or message."""

    what: str
    whom: str
    at: float = 0.0
    nth: int = 0
    lasts: float = 0.0
    given: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        when = f"{self.at:7.3f} s" if not self.nth else f"number {self.nth}"
        given = ", ".join(f"{name}={value!r}" for name, value in self.given.items())
        lasts = f" for {self.lasts:g} s" if self.lasts else ""
        return f"{when}: {self.whom} {self.what}{lasts}{' ' if given else ''}{given}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """All of one history: `trouble` seconds of these steps, then `calm` in which all that is owed has to be done."""

    seed: int
    trouble: float
    calm: float = 50.0
    firing_delay: float = 0.0
    offsets: Mapping[str, float] = field(default_factory=dict)
    provisioned: bool = True
    steps: tuple[Step, ...] = ()


def draw(
    seed: int, *, kinds: Sequence[str] | None = None, options: Mapping[str, Any] | None = None, seconds: float = 45.0
) -> Drawn:
    """Draw a history; a few `kinds` of trouble befall it, or those that are given. All jobs have the `options`."""
    random = Random(seed)
    some = random.sample(list(TROUBLES), random.choice((1, 2, 3, 4)))
    kinds = some if kinds is None else kinds
    steps = [step for kind in kinds for step in TROUBLES[kind](random, seconds)]
    asked = [
        Step(what=what, whom=random.choice(CLIENTS), at=at, given=given)
        for at, what, given in draw_jobs(random, seconds, options or {})
    ]
    return Drawn(
        seed=seed,
        trouble=seconds,
        firing_delay=random.choice((0.0, 0.1, 0.25)),
        offsets={slot: random.choice((0.0, -3.0, 20.0)) for slot in SLOTS},
        provisioned=random.random() < 0.8,
        steps=tuple(sorted([*steps, *asked], key=lambda step: (step.nth, step.at))),
    )


def _some(random: Random, most: int, seconds: float) -> int:
    return max(1, round(random.randint(1, most) * seconds / 45))


def _deaths(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 3, seconds)):
        yield Step(
            what=random.choice(("dies", "dies", "shuts down")),
            whom=random.choice((*SLOTS, "primary")),
            at=random.uniform(0.0, seconds),
            lasts=random.uniform(0.0, 8.0),
        )


def _deaths_at_questions(random: Random, seconds: float) -> Iterator[Step]:
    """Kill at any await: as the question goes out, or once it is done and nobody hears the answer."""
    for _ in range(_some(random, 3, seconds)):
        yield Step(
            what=random.choice(("dies with the question", "dies with the answer")),
            whom=random.choice(SLOTS),
            nth=random.choice((random.randint(1, 20), random.randint(1, round(6 * seconds)))),
            lasts=random.uniform(0.0, 8.0),
        )


def _freezes(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 3, seconds)):
        yield Step(
            what="freezes",
            whom=random.choice((*SLOTS, "primary")),
            at=random.uniform(0.0, seconds),
            lasts=random.choice((0.3, 2.0, 4.0, 6.0, 9.0, 14.0)),
        )


def _freezes_at_questions(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 3, seconds)):
        yield Step(
            what=random.choice(("freezes with the question", "freezes with the answer")),
            whom=random.choice(SLOTS),
            nth=random.randint(1, round(6 * seconds)),
            lasts=random.choice((0.3, 2.0, 5.5, 7.0, 12.0)),
        )


def _cuts(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 3, seconds)):
        yield Step(
            what=random.choice(("is cut off there", "is cut off back", "is cut off")),
            whom=random.choice((*SLOTS, "primary")),
            at=random.uniform(0.0, seconds),
            lasts=random.choice((0.5, 3.0, 8.0, 15.0)),
        )


def _outages(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 2, seconds)):
        yield Step(
            what="restarts", whom=SERVER, at=random.uniform(0.0, seconds), lasts=random.choice((0.3, 1.5, 4.0))
        )


def _losses(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 15, seconds)):
        yield Step(
            what=random.choice(("question lost", "answer lost", "answer lost")),
            whom=random.choice((*SLOTS, *CLIENTS)),
            nth=random.randint(1, round(5 * seconds)),
        )


def _slowness(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 15, seconds)):
        yield Step(
            what=random.choice(("question slow", "answer slow")),
            whom=random.choice((*SLOTS, *CLIENTS)),
            nth=random.randint(1, round(5 * seconds)),
            lasts=random.uniform(0.05, 0.9),
        )


def _old_reads(random: Random, seconds: float) -> Iterator[Step]:
    """Answer reads that need not be new as a follower that is behind."""
    for _ in range(_some(random, 30, seconds)):
        yield Step(what="read is old", whom=random.choice(SLOTS), nth=random.randint(1, round(seconds)))


def _lost_words(random: Random, seconds: float) -> Iterator[Step]:
    """Lose acks, naks and what says that a hint is still being worked on."""
    for _ in range(_some(random, 10, seconds)):
        yield Step(what="word lost", whom=random.choice(SLOTS), nth=random.randint(1, round(seconds)))


def _held_back(random: Random, seconds: float) -> Iterator[Step]:
    """Have deliveries overtaken by later ones."""
    for _ in range(_some(random, 8, seconds)):
        yield Step(
            what="delivery held back",
            whom=random.choice(SLOTS),
            nth=random.randint(1, round(seconds / 2)),
            lasts=random.uniform(0.05, 2.5),
        )


def _fates(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 5, seconds)):
        yield Step(
            what=random.choice(("fires late", "fires twice", "fires twice", "gets stuck")),
            whom=SERVER,
            nth=random.randint(1, round(seconds)),
        )


def _redeliveries(random: Random, seconds: float) -> Iterator[Step]:
    for _ in range(_some(random, 3, seconds)):
        yield Step(what="hands out again", whom=SERVER, at=random.uniform(0.0, seconds))


def _jumps(random: Random, seconds: float) -> Iterator[Step]:
    """Set the wall clock of a replica's machine."""
    for _ in range(_some(random, 3, seconds)):
        yield Step(
            what="has its clock set",
            whom=random.choice(SLOTS),
            at=random.uniform(0.0, seconds),
            given={"by": random.choice((-30.0, -2.0, 1.5, 40.0))},
        )


TROUBLES: Final = {
    "deaths": _deaths,
    "deaths at questions": _deaths_at_questions,
    "freezes": _freezes,
    "freezes at questions": _freezes_at_questions,
    "cuts": _cuts,
    "outages": _outages,
    "losses": _losses,
    "slowness": _slowness,
    "old reads": _old_reads,
    "lost words": _lost_words,
    "reordering": _held_back,
    "fates of schedules": _fates,
    "redeliveries": _redeliveries,
    "jumps of clocks": _jumps,
}
