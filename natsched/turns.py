"""Long work on the event loop, done in turns with everybody else's."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from anyio.lowlevel import checkpoint

T = TypeVar("T")
R = TypeVar("R")

TURN: Final = 8
"""How many documents are worked on before others go first: a fraction of a millisecond."""


async def in_turns(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Apply a function to each item and return the results; others go first after every `TURN` of them."""
    results: list[R] = []
    for item in items:
        results.append(function(item))
        if len(results) % TURN == 0:
            await checkpoint()
    return results
