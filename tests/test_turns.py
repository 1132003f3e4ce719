"""Long work leaves others their turn."""

from itertools import pairwise

import anyio.lowlevel
import pytest

from natsched.turns import TURN, in_turns

pytestmark = pytest.mark.anyio


async def test_the_results_come_in_order() -> None:
    assert await in_turns(str, range(2 * TURN + 1)) == [str(number) for number in range(2 * TURN + 1)]
    assert await in_turns(str, []) == []


async def test_others_go_first_after_each_turn() -> None:
    done: list[int] = []
    seen: list[int] = []

    async def look() -> None:
        while len(done) < 4 * TURN:
            seen.append(len(done))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await in_turns(done.append, range(4 * TURN))
    assert max(later - earlier for earlier, later in pairwise([0, *seen])) <= TURN
    assert len(seen) >= 3
