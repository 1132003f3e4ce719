"""Waiting in tests: always for something, never longer than a deadline."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import anyio

from natsched.ports import Backend, Delivery, Intake

T = TypeVar("T")
DEADLINE: Final = 15
PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """Look again and again until what is seen is wanted: for what no port reports by itself."""
    with anyio.fail_after(DEADLINE):
        while not wanted(seen := await look()):  # noqa: ASYNC110 - nothing sets an event
            await anyio.sleep(0.02)
        return seen


async def collect(intake: Intake, number: int) -> list[Delivery]:
    """Receive so many deliveries; more than that are an error."""
    deliveries: list[Delivery] = []
    with anyio.fail_after(DEADLINE):
        while len(deliveries) < number:
            deliveries += await intake.receive()
    assert len(deliveries) == number
    return deliveries


async def receive_one(intake: Intake) -> Delivery:
    (delivery,) = await collect(intake, 1)
    return delivery


async def take(iterator: AsyncIterator[T], number: int) -> list[T]:
    """Take so many items off an iterator that may have no end."""
    taken: list[T] = []
    with anyio.fail_after(DEADLINE):
        while len(taken) < number:
            taken.append(await anext(iterator))
    return taken


async def until_none_is_delivered(backend: Backend) -> None:
    """Wait until all deliveries are acknowledged."""
    await eventually(backend.hints.deliveries, lambda deliveries: not deliveries)


def soon(now: datetime, seconds: float) -> datetime:
    """Return an instant of whole milliseconds, which all servers keep."""
    at = now + timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
