"""Operations on `ports.Intake`, `ports.Delivery`, `ports.Outbox` and the notices that are handed out of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import anyio
from hypothesis import strategies as st

from natsched.core.webhooks import Notice
from tests.conformance.hints import QUEUES, STREAM
from tests.conformance.world import HOUR, MOMENT, PATIENCE, Answer, Operation, World, mixed, until
from tests.factories import NOON

_AT_ONCE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive what is there, up to `room`, of a queue, or for None of the notices.

    JetStream is asked for as many as came in memory, so no request of it is left over for what comes later.
    """

    queue: str | None
    room: int

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        intake = await _intake(world, self.queue)
        found: list[Any] = []
        if wanted is None:
            intake.want(self.room)
            with anyio.move_on_after(_AT_ONCE):
                found += await intake.receive()
            intake.want(0)
        elif wanted:
            intake.want(len(wanted))
            with anyio.move_on_after(PATIENCE):
                while len(found) < len(wanted):
                    found += await intake.receive()
        found.sort(key=lambda delivery: (str(_content(delivery)), delivery.attempts, _seq(delivery)))
        world.held.setdefault(self.queue, []).extend(found)
        return [(_content(it), it.problem, it.attempts, world.number(STREAM, _seq(it))) for it in found]


@dataclass(frozen=True, slots=True)
class Say:
    """Answer for one of the deliveries that were ever handed out, the last first.

    Nothing but an acknowledgement comes after another answer, or for what was handed out again since: what a server
    does then depends on how far its own queue of redeliveries has got.
    """

    queue: str | None
    index: int
    what: Literal["ack", "nak", "later", "in progress"]
    delay: timedelta

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        held = world.held.get(self.queue, [])
        if not held:
            return None
        delivery = held[-1 - self.index % len(held)]
        newest = max((it.attempts for it in held if _same(it, delivery)), default=0)
        if self.what != "ack" and (id(delivery) in world.answered or delivery.attempts < newest):
            return None
        world.answered.add(id(delivery))
        match self.what:
            case "ack":
                delivery.ack()
            case "nak":
                delivery.nak()
            case "later":
                delivery.nak(self.delay)
            case "in progress":
                delivery.in_progress()
        await world.server.until_answers_are_in(self.queue)
        if self.what == "ack":  # the stream lets go of it a moment later
            await until(lambda: _is_listed(world, _seq(delivery)), False)
        return self.what


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close the intakes, and open them where they are used again."""

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        if not world.followed:
            await world.contexts.aclose()
            world.intakes.clear()
            world.notices = None
        return "closed"


@dataclass(frozen=True, slots=True)
class PutNotice:
    notice: Notice

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.backend.outbox.put(self.notice)
        return "put"


@dataclass(frozen=True, slots=True)
class PutNoNotice:
    """Put bytes among the notices, from behind."""

    data: bytes

    async def play(self, world: World, wanted: Answer | None) -> Answer:
        await world.server.put_notice("x.1.ok", self.data)
        return "put"


async def _intake(world: World, queue: str | None) -> Any:
    if queue is None:
        world.notices = world.notices or await world.contexts.enter_async_context(world.backend.notices())
        return world.notices
    if queue not in world.intakes:
        world.intakes[queue] = await world.contexts.enter_async_context(world.backend.intake(queue))
    return world.intakes[queue]


async def _is_listed(world: World, seq: int) -> bool:
    return seq in {pending.seq for pending in await world.backend.hints.deliveries()}


def _content(delivery: Any) -> object:
    return delivery.hint if hasattr(delivery, "hint") else delivery.notice


def _same(one: Any, other: Any) -> bool:
    return (_seq(one), _content(one)) == (_seq(other), _content(other))


def _seq(delivery: Any) -> int:
    return int(getattr(delivery, "seq", 0))


def deliveries(*, ends: bool = False) -> st.SearchStrategy[Operation]:
    """Draw operations; with `ends` a delay is over in a moment."""
    queues = st.sampled_from((*QUEUES[:1] * 4, *QUEUES[1:], None))
    receive = st.builds(Receive, queues, st.sampled_from((1, 2, 100)))
    what = st.sampled_from(("ack", "ack", "nak", "nak", "later", "in progress"))
    say = st.builds(Say, queues, st.integers(0, 3), what, st.just(MOMENT if ends else HOUR))
    return mixed((8, receive), (8, say), (1, st.just(Reopen())))


def outbox() -> st.SearchStrategy[Operation]:
    """Draw notices."""

    def notice(number: int, url: str, secret: str | None, revision: int) -> Notice:
        return Notice(
            url=url,
            secret=secret,
            id=f"A-1.{number}.ok",
            job="a",
            execution="A-1",
            revision=revision,
            at=NOON,
            body={"n": number},
        )

    urls = st.sampled_from(("https://a.example/", "https://b.example/ä"))
    put = st.builds(
        PutNotice, st.builds(notice, st.integers(1, 2), urls, st.sampled_from((None, "S")), st.integers(1, 2))
    )
    return mixed((3, put), (1, st.builds(PutNoNotice, st.sampled_from((b"", b"\xff", b"[]")))))


LAST_DELIVERIES: Final[tuple[Operation, ...]] = tuple(Receive(queue, 100) for queue in (*QUEUES, None))
