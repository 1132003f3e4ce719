"""The memory backend over hours, to the microsecond: what real time is too slow and too vague for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.core.jobs import JobId
from natsched.errors import Conflict
from natsched.memory import MemoryBackend
from tests.factories import make_job, make_plan_hint, make_record
from tests.virtual import EPOCH, VirtualClock, run_virtual, virtual_time

A = JobId("a")
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
JUST = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class World:
    backend: MemoryBackend
    clock: VirtualClock

    async def until(self, since_epoch: timedelta) -> None:
        await self.clock.sleep((EPOCH + since_epoch - self.clock.now()).total_seconds())


@asynccontextmanager
async def opened(**options: Any) -> AsyncGenerator[World, None]:
    clock = VirtualClock()
    async with MemoryBackend(clock, **options) as backend:
        yield World(backend, clock)


@virtual_time
async def test_a_document_lives_for_its_ttl_and_its_marker_for_a_minute() -> None:
    async with opened() as world:
        jobs = world.backend.jobs
        revision = await jobs.write(make_job("a"), expected=0, ttl=HOUR)
        await world.until(HOUR - JUST)
        assert (await jobs.read(A)).revision == revision
        await world.until(HOUR + JUST)
        marked = await jobs.read(A)
        assert marked.job is None
        assert marked.revision > revision
        with pytest.raises(Conflict):
            await jobs.write(make_job("a"), expected=0)
        await world.until(HOUR + timedelta(minutes=1) + JUST)
        assert (await jobs.read(A)).revision == 0
        with pytest.raises(Conflict):
            await jobs.write(make_job("a"), expected=marked.revision)
        assert await jobs.write(make_job("a"), expected=0) > marked.revision


@virtual_time
async def test_the_marker_of_a_deleted_document_goes_away() -> None:
    async with opened(marker_ttl=HOUR) as world:
        jobs = world.backend.jobs
        await jobs.delete(A, expected=await jobs.write(make_job("a"), expected=0))
        await world.until(HOUR - JUST)
        assert (await jobs.read(A)).revision > 0
        await world.until(HOUR + JUST)
        assert (await jobs.read(A)).revision == 0


@virtual_time
async def test_a_document_written_again_outlives_the_marker_and_the_ttl_before_it() -> None:
    async with opened() as world:
        jobs = world.backend.jobs
        await jobs.delete(A, expected=await jobs.write(make_job("a"), expected=0, ttl=HOUR))
        revision = await jobs.write(make_job("a"), expected=(await jobs.read(A)).revision)
        await world.until(24 * HOUR)
        assert (await jobs.read(A)).revision == revision


@virtual_time
async def test_a_record_lives_for_its_ttl_and_leaves_no_trace() -> None:
    async with opened() as world:
        history = world.backend.history
        assert await history.create(make_record("a", "A-1"), ttl=HOUR)
        await world.until(HOUR - JUST)
        assert not await history.create(make_record("a", "A-1"), ttl=HOUR)
        await world.until(HOUR + JUST)
        assert await history.list() == []
        assert await history.create(make_record("a", "A-1"), ttl=HOUR)


@virtual_time
async def test_a_lock_lives_as_long_as_it_is_renewed_and_its_end_is_told_at_once() -> None:
    async with opened() as world, world.backend.locks.endings("lease") as endings:
        lock = await world.backend.locks.create("lease.a", b"", ttl=5 * SECOND)
        for n in range(1, 1001):
            await world.until(n * 4 * SECOND)
            lock = await world.backend.locks.renew(lock, b"", ttl=5 * SECOND)
        assert await anext(endings) == "lease.a"
        assert timedelta(0) <= world.clock.now() - EPOCH - 4005 * SECOND <= JUST


@virtual_time
async def test_what_is_silent_comes_again_exactly_after_ack_wait() -> None:
    async with opened() as world, world.backend.intake("default") as intake:
        intake.want(100)
        await world.backend.hints.deliver(make_plan_hint("a"))
        for attempt in range(1, 6):
            (delivery,) = await intake.receive()
            assert delivery.attempts == attempt
            late = world.clock.now() - EPOCH - (attempt - 1) * 5 * SECOND
            assert timedelta(0) <= late <= JUST


@virtual_time
async def test_progress_keeps_a_delivery_for_an_hour() -> None:
    async with opened() as world, world.backend.intake("default") as intake:
        intake.want(100)
        await world.backend.hints.deliver(make_plan_hint("a"))
        (delivery,) = await intake.receive()
        while world.clock.now() - EPOCH < HOUR:
            await world.clock.sleep(4)
            delivery.in_progress()
        (again,) = await intake.receive()
        assert again.attempts == 2
        assert world.clock.now() - EPOCH >= HOUR + 5 * SECOND


@virtual_time
async def test_a_delay_is_kept_and_the_ack_wait_before_it_forgotten() -> None:
    async with opened() as world, world.backend.intake("default") as intake:
        intake.want(100)
        await world.backend.hints.deliver(make_plan_hint("a"))
        (delivery,) = await intake.receive()
        delivery.nak(HOUR)
        (again,) = await intake.receive()
        assert again.attempts == 2
        assert HOUR <= world.clock.now() - EPOCH <= HOUR + JUST


@virtual_time
async def test_a_hint_is_doubled_only_after_the_window() -> None:
    async with opened() as world, world.backend.intake("default") as intake:
        intake.want(100)
        for minutes, arrives in ((0, True), (1, False), (1.99, False), (2.01, True), (4, False), (4.02, True)):
            await world.until(timedelta(minutes=minutes))
            await world.backend.hints.deliver(make_plan_hint("a"))
            assert bool(await world.backend.hints.deliveries()) is arrives
            if arrives:
                (delivery,) = await intake.receive()
                delivery.ack()


@virtual_time
async def test_a_schedule_of_next_year_fires_then_and_as_late_as_was_asked_for() -> None:
    async with opened(firing_delay=timedelta(milliseconds=250)) as world:
        at = EPOCH + timedelta(days=365)
        await world.backend.hints.schedule(make_plan_hint("a"), at, expected=0)
        async with world.backend.intake("default") as intake:
            intake.want(1)
            await intake.receive()
            assert timedelta(milliseconds=250) <= world.clock.now() - at <= timedelta(milliseconds=251)


@virtual_time
async def test_a_sooner_schedule_wakes_the_server_before_a_later_one() -> None:
    async with opened() as world, world.backend.intake("default") as intake:
        intake.want(10)
        await world.backend.hints.schedule(make_plan_hint("late"), EPOCH + HOUR, expected=0)
        await world.until(SECOND)
        await world.backend.hints.schedule(make_plan_hint("soon"), EPOCH + 2 * SECOND, expected=0)
        (delivery,) = await intake.receive()
        assert delivery.hint == make_plan_hint("soon")
        assert world.clock.now() - EPOCH <= 2 * SECOND + JUST


@virtual_time
async def test_waiting_intakes_are_served_in_turn() -> None:
    async with opened() as world:
        backend = world.backend
        async with backend.intake("default") as one, backend.intake("default") as two:
            one.want(3)
            two.want(10)
            for n in range(6):
                await backend.hints.deliver(make_plan_hint("a", n))
            assert [delivery.seq for delivery in await one.receive()] == [1, 3, 5]
            assert [delivery.seq for delivery in await two.receive()] == [2, 4, 6]


@given(st.lists(st.integers(min_value=-(10**7), max_value=10**10), min_size=1, max_size=20))
def test_schedules_fire_never_early_and_in_the_order_of_their_instants(offsets: list[int]) -> None:
    fired: list[datetime] = []

    async def main() -> None:
        async with opened() as world, world.backend.intake("default") as intake:
            for n, offset in enumerate(offsets):
                at = EPOCH + timedelta(microseconds=offset)
                await world.backend.hints.schedule(make_plan_hint(f"x.{n}", start=at), at, expected=0)
            while len(fired) < len(offsets):
                intake.want(100)
                for delivery in await intake.receive():
                    assert delivery.hint is not None
                    assert timedelta(0) <= world.clock.now() - max(delivery.hint.start, EPOCH) <= JUST
                    fired.append(max(delivery.hint.start, EPOCH))
                    delivery.ack()

    run_virtual(main)
    assert fired == sorted(fired)


def test_two_runs_of_one_world_are_the_same() -> None:
    async def main() -> list[tuple[float, str, int, int]]:
        seen: list[tuple[float, str, int, int]] = []
        async with opened() as world, anyio.create_task_group() as replicas:

            async def replica(name: str) -> None:
                async with world.backend.intake("default") as intake:
                    while True:
                        intake.want(3)
                        for delivery in await intake.receive():
                            seen.append((world.clock.monotonic(), name, delivery.seq, delivery.attempts))
                            if (delivery.seq + delivery.attempts) % 3 == 0:
                                delivery.nak(timedelta(seconds=delivery.seq % 7))
                            elif (delivery.seq + delivery.attempts) % 3 == 1:
                                delivery.ack()

            for name in ("one", "two", "three"):
                replicas.start_soon(replica, name)
            for n in range(60):
                at = EPOCH + timedelta(seconds=n * 17 % 40)
                await world.backend.hints.schedule(make_plan_hint(f"x.{n}"), at, expected=0)
            await world.until(HOUR)
            assert await world.backend.hints.deliveries() == []
            replicas.cancel_scope.cancel()
        return seen

    first = run_virtual(main)
    assert {name for _, name, _, _ in first} == {"one", "two", "three"}
    assert run_virtual(main) == first
