"""Virtual time is fast, in order, repeatable, and says when nothing can happen any more."""

import time
from datetime import timedelta

import anyio
import pytest

from tests.virtual import EPOCH, DeadlockError, VirtualClock, run_virtual


def test_an_hour_passes_in_milliseconds() -> None:
    async def main() -> timedelta:
        clock = VirtualClock()
        await clock.sleep(3600)
        return clock.now() - EPOCH

    begun = time.perf_counter()
    assert run_virtual(main) == timedelta(hours=1)
    assert time.perf_counter() - begun < 1


def test_sleepers_wake_in_the_order_of_their_instants() -> None:
    woken: list[tuple[int, int]] = []

    async def main() -> None:
        clock = VirtualClock()

        async def sleeper(seconds: int) -> None:
            await clock.sleep(seconds)
            woken.append((seconds, round(clock.monotonic() * 1000)))

        async with anyio.create_task_group() as tasks:
            for seconds in (5, 1, 4, 2, 3):
                tasks.start_soon(sleeper, seconds)

    run_virtual(main)
    assert woken == [(n, n * 1000) for n in (1, 2, 3, 4, 5)]


def test_two_runs_are_the_same_run_even_where_sets_of_scopes_are_cancelled() -> None:
    async def main() -> list[int]:
        ended: list[int] = []

        async def sleeper(number: int) -> None:
            try:
                with anyio.fail_after(1000):
                    await anyio.sleep(500)
            finally:
                ended.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(sleeper, number)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        return ended

    ballast = []
    first = run_virtual(main)
    for _ in range(5):
        ballast.append([object() for _ in range(1013)])
        assert run_virtual(main) == first


def test_waiting_for_what_cannot_happen_is_an_error_not_a_hang() -> None:
    async def main() -> None:
        await anyio.Event().wait()

    with pytest.raises(DeadlockError, match="every task waits"):
        run_virtual(main)


def test_timers_come_after_years_too() -> None:
    async def main() -> timedelta:
        clock = VirtualClock()
        await clock.sleep(3e9 / 7)
        for _ in range(1000):
            await clock.sleep(1e-9)
        return clock.now() - EPOCH

    assert run_virtual(main) >= timedelta(seconds=3e9 / 7, microseconds=-2)
