"""The once lock, on virtual time over the memory locks, with answers that get lost."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import anyio
import pytest
from anyio import create_task_group

from natsched.errors import LockLost, NatschedError, Unavailable
from natsched.memory.backend import MemoryBackend
from natsched.ports import Lock, Locks
from natsched.protocol.once import Outcome, once
from tests.virtual import VirtualClock, run_virtual

KEY = "scheduler.init"
TTL = timedelta(seconds=5)


@dataclass
class Faulty:
    """Locks over a network: `silent` loses the questions, `deaf` the answers; each call counts one chance."""

    locks: Locks
    silent: Callable[[str], bool] = lambda _: False
    deaf: Callable[[str], bool] = lambda _: False
    blind: bool = False

    async def create(self, key: str, value: bytes, *, ttl: timedelta) -> Lock:
        return cast("Lock", await self._call("create", self.locks.create(key, value, ttl=ttl)))

    async def renew(self, lock: Lock, value: bytes, *, ttl: timedelta) -> Lock:
        return cast("Lock", await self._call("renew", self.locks.renew(lock, value, ttl=ttl)))

    async def release(self, lock: Lock) -> None:
        await self._call("release", self.locks.release(lock))

    async def get(self, key: str) -> tuple[bytes, int] | None:
        return cast("tuple[bytes, int] | None", await self._call("get", self.locks.get(key)))

    async def put(self, key: str, value: bytes, *, ttl: timedelta) -> None:
        await self._call("put", self.locks.put(key, value, ttl=ttl))

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        return await self.locks.list(prefix)

    def endings(self, prefix: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return _nothing() if self.blind else self.locks.endings(prefix)

    def settings(self, prefix: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return self.locks.settings(prefix)

    async def _call(self, name: str, call: Awaitable[Any]) -> Any:
        if self.silent(name):
            call.close()  # type: ignore[attr-defined]
            raise Unavailable
        answer = await call
        if self.deaf(name):
            raise Unavailable
        return answer


@dataclass
class Bench:
    """The locks, the clock, and what happened when."""

    locks: Locks
    clock: VirtualClock = field(default_factory=VirtualClock)
    spans: list[tuple[float, float, str]] = field(default_factory=list)

    async def once(
        self,
        owner: str,
        *,
        lasts: float = 1,
        locks: Locks | None = None,
        fingerprint: str = "same",
        deadline: float = 600,
        work: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        return await once(
            locks or self.locks,
            self.clock,
            KEY,
            work or (lambda: self.work(owner, lasts)),
            owner=owner,
            fingerprint=fingerprint,
            ttl=TTL,
            deadline=timedelta(seconds=deadline),
        )

    async def work(self, owner: str, lasts: float) -> None:
        started = self.clock.monotonic()
        try:
            await self.clock.sleep(lasts)
        finally:
            self.spans.append((started, self.clock.monotonic(), owner))

    async def holder(self) -> bytes | None:
        held = await self.locks.get(f"{KEY}.lock")
        return held and held[0]

    def overlaps(self) -> list[tuple[object, object]]:
        return [(one, two) for one, two in pairwise(sorted(self.spans)) if two[0] < one[1]]


def virtual(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    """Run a test on virtual time, with a bench."""

    async def run() -> None:
        clock = VirtualClock()
        async with MemoryBackend(clock) as backend:
            await test(Bench(locks=backend.locks, clock=clock))

    def wrapped() -> None:
        run_virtual(run)

    wrapped.__name__ = test.__name__
    return wrapped


@virtual
async def test_of_many_that_want_the_same_one_works(bench: Bench) -> None:
    outcomes: list[Outcome] = []

    async def take_part(owner: str) -> None:
        outcomes.append(await bench.once(owner))

    async with create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(take_part, f"owner{number}")
    assert sorted(outcomes) == [Outcome.OTHERS] * 9 + [Outcome.OURS]
    assert len(bench.spans) == 1
    assert bench.clock.monotonic() < 1.5


@virtual
async def test_those_that_want_other_things_work_one_after_another(bench: Bench) -> None:
    async with create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(lambda n: bench.once(f"owner{n}", fingerprint=f"topology{n}"), number)
    assert len(bench.spans) == 5
    assert not bench.overlaps()
    assert bench.clock.monotonic() < 6


@virtual
async def test_a_marker_is_never_trusted_where_the_lock_is_free(bench: Bench) -> None:
    assert await bench.once("first") is Outcome.OURS
    assert await bench.once("second") is Outcome.OURS
    assert len(bench.spans) == 2


@virtual
async def test_a_marker_of_earlier_is_not_trusted_by_those_who_waited(bench: Bench) -> None:
    assert await bench.once("earlier") is Outcome.OURS
    await bench.locks.create(f"{KEY}.lock", b"dead", ttl=TTL)
    assert await bench.once("heir") is Outcome.OURS


@virtual
async def test_a_holder_that_dies_is_followed_within_its_ttl(bench: Bench) -> None:
    await bench.locks.create(f"{KEY}.lock", b"dead", ttl=TTL)
    assert await bench.once("heir") is Outcome.OURS
    ((started, _, _),) = bench.spans
    assert TTL.total_seconds() <= started <= TTL.total_seconds() + 0.1


@virtual
async def test_work_that_lasts_longer_than_the_ttl_keeps_the_lock(bench: Bench) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(lambda: bench.once("slow", lasts=60))
        await bench.clock.sleep(0.1)
        assert await bench.once("other", fingerprint="other") is Outcome.OURS
    assert not bench.overlaps()
    assert [owner for _, _, owner in sorted(bench.spans)] == ["slow", "other"]


@virtual
async def test_failed_work_is_its_callers_alone_and_the_next_tries_at_once(bench: Bench) -> None:
    async def fail() -> None:
        await bench.clock.sleep(1)
        raise ZeroDivisionError("mine")

    async def first() -> None:
        with pytest.raises(ZeroDivisionError, match="mine"):
            await bench.once("first", work=fail)

    async with create_task_group() as tasks:
        tasks.start_soon(first)
        await bench.clock.sleep(0.1)
        assert await bench.once("second") is Outcome.OURS
    assert bench.clock.monotonic() < 2.5


@virtual
async def test_the_lock_is_free_after_work_and_after_a_cancellation(bench: Bench) -> None:
    await bench.once("first")
    assert await bench.holder() is None
    with anyio.move_on_after(2):
        await bench.once("second", lasts=60)
    assert await bench.holder() is None


@virtual
async def test_a_lock_that_went_to_another_cancels_the_work(bench: Bench) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(_steal, bench, 2.0)
        with pytest.raises(LockLost):
            await bench.once("robbed", lasts=60)
    ((_, ended, _),) = bench.spans
    assert ended < 2 + TTL.total_seconds() / 3 + 0.1
    assert await bench.holder() == b"thief"


@virtual
async def test_a_holder_that_cannot_renew_stops_before_another_can_start(bench: Bench) -> None:
    cut = Faulty(bench.locks, silent=lambda _: bench.clock.monotonic() > 7)

    async def isolated() -> None:
        with pytest.raises(LockLost, match="could not be renewed"):
            await bench.once("isolated", lasts=60, locks=cut)

    async with create_task_group() as tasks:
        tasks.start_soon(isolated)
        await bench.clock.sleep(0.1)
        assert await bench.once("heir", fingerprint="other") is Outcome.OURS
    assert not bench.overlaps()
    assert [owner for _, _, owner in sorted(bench.spans)] == ["isolated", "heir"]
    assert bench.clock.monotonic() < 7 + TTL.total_seconds() + 1.5


@virtual
async def test_a_taking_whose_answer_was_lost_is_ones_own(bench: Bench) -> None:
    chances = iter([True])
    locks = Faulty(bench.locks, deaf=lambda name: name == "create" and next(chances, False))
    assert await bench.once("lucky", locks=locks) is Outcome.OURS
    assert bench.clock.monotonic() < 2


@virtual
async def test_a_renewal_whose_answer_was_lost_is_no_loss(bench: Bench) -> None:
    dice = random.Random(7)
    locks = Faulty(bench.locks, deaf=lambda name: name == "renew" and dice.random() < 0.4)
    assert await bench.once("lucky", lasts=60, locks=locks) is Outcome.OURS
    assert await bench.holder() is None


@virtual
async def test_who_sees_no_ending_looks_again_after_a_ttl(bench: Bench) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(lambda: bench.once("first", lasts=2))
        await bench.clock.sleep(0.1)
        assert await bench.once("blind", locks=Faulty(bench.locks, blind=True)) is Outcome.OTHERS
    assert bench.clock.monotonic() < 0.1 + TTL.total_seconds() + 0.5


@virtual
async def test_the_deadline_ends_the_waiting_and_the_work(bench: Bench) -> None:
    with pytest.raises(Unavailable, match=KEY):
        await bench.once("slow", lasts=600, deadline=20)
    assert bench.clock.monotonic() < 20.5
    assert await bench.holder() is None
    await bench.locks.create(f"{KEY}.lock", b"another", ttl=timedelta(hours=1))
    with pytest.raises(Unavailable, match=KEY):
        await bench.once("waiting", deadline=20)
    assert bench.clock.monotonic() < 41


@virtual
async def test_without_an_answer_it_tries_until_the_deadline(bench: Bench) -> None:
    with pytest.raises(Unavailable):
        await bench.once("alone", locks=Faulty(bench.locks, silent=lambda _: True), deadline=10)
    assert bench.spans == []
    back = Faulty(bench.locks, silent=lambda _: bench.clock.monotonic() < 15)
    assert await bench.once("patient", locks=back, deadline=10) is Outcome.OURS


@pytest.mark.parametrize("seed", range(30))
def test_over_a_bad_network_work_never_overlaps_and_is_done(seed: int) -> None:
    dice = random.Random(seed)

    @virtual
    async def run(bench: Bench) -> None:
        ends: list[object] = []

        async def take_part(number: int) -> None:
            await bench.clock.sleep(dice.uniform(0, 3))
            bad = Faulty(
                bench.locks,
                silent=lambda _: dice.random() < 0.2,
                deaf=lambda _: dice.random() < 0.2,
                blind=dice.random() < 0.2,
            )
            try:
                outcome = await bench.once(
                    f"owner{number}", locks=bad, lasts=dice.uniform(0.1, 20), fingerprint=f"{number % 3}"
                )
            except NatschedError as error:
                ends.append(error)
            else:
                ends.append(outcome)

        async with create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(take_part, number)
        assert not bench.overlaps()
        assert Outcome.OURS in ends
        assert not [end for end in ends if not isinstance(end, Outcome | LockLost)]

    run()


async def _steal(bench: Bench, when: float) -> None:
    await bench.clock.sleep(when)
    held = await bench.locks.get(f"{KEY}.lock")
    assert held is not None
    await bench.locks.renew(Lock(key=f"{KEY}.lock", revision=held[1]), b"thief", ttl=timedelta(hours=1))


@asynccontextmanager
async def _nothing() -> AsyncIterator[AsyncIterator[str]]:
    async def never() -> AsyncIterator[str]:
        await anyio.sleep_forever()
        yield ""

    yield never()
