"""`ports.Locks`: keys that go away unless they are renewed."""

from datetime import timedelta

import anyio
import pytest

from natsched.errors import Conflict
from natsched.ports import Backend
from tests.contract.waiting import DEADLINE, eventually, take

pytestmark = pytest.mark.anyio
SHORT = timedelta(seconds=1)
LONG = timedelta(minutes=5)


async def test_a_lock_is_held_with_its_value(backend: Backend) -> None:
    lock = await backend.locks.create("lease.one", b"\x00value", ttl=LONG)
    assert lock.key == "lease.one"
    assert await backend.locks.get("lease.one") == (b"\x00value", lock.revision)


async def test_a_key_that_nobody_holds_reads_as_none(backend: Backend) -> None:
    assert await backend.locks.get("lease.one") is None


async def test_a_held_key_cannot_be_taken(backend: Backend) -> None:
    lock = await backend.locks.create("lease.one", b"mine", ttl=LONG)
    with pytest.raises(Conflict):
        await backend.locks.create("lease.one", b"yours", ttl=LONG)
    assert await backend.locks.get("lease.one") == (b"mine", lock.revision)


async def test_of_many_contenders_one_takes_the_key(backend: Backend) -> None:
    taken: list[int] = []

    async def contend(number: int) -> None:
        try:
            await backend.locks.create("once", b"%d" % number, ttl=LONG)
        except Conflict:
            return
        taken.append(number)

    async with anyio.create_task_group() as contenders:
        for number in range(20):
            contenders.start_soon(contend, number)
    (winner,) = taken
    held = await backend.locks.get("once")
    assert held is not None
    assert held[0] == b"%d" % winner


async def test_a_renewed_lock_has_a_new_value_and_the_old_one_holds_no_more(backend: Backend) -> None:
    first = await backend.locks.create("lease.one", b"1", ttl=LONG)
    second = await backend.locks.renew(first, b"2", ttl=LONG)
    assert await backend.locks.get("lease.one") == (b"2", second.revision)
    with pytest.raises(Conflict):
        await backend.locks.renew(first, b"3", ttl=LONG)
    with pytest.raises(Conflict):
        await backend.locks.release(first)
    assert await backend.locks.get("lease.one") == (b"2", second.revision)


async def test_a_released_key_can_be_taken_again(backend: Backend) -> None:
    lock = await backend.locks.create("lease.one", b"1", ttl=LONG)
    await backend.locks.release(lock)
    assert await backend.locks.get("lease.one") is None
    with pytest.raises(Conflict):
        await backend.locks.release(lock)
    with pytest.raises(Conflict):
        await backend.locks.renew(lock, b"2", ttl=LONG)
    again = await backend.locks.create("lease.one", b"3", ttl=LONG)
    assert again.revision > lock.revision
    assert await backend.locks.get("lease.one") == (b"3", again.revision)


async def test_a_lock_that_ran_out_is_held_by_nobody_and_can_be_taken(backend: Backend) -> None:
    lock = await backend.locks.create("lease.one", b"1", ttl=SHORT)
    await eventually(lambda: backend.locks.get("lease.one"), lambda held: held is None)
    assert await backend.locks.list("lease") == {}
    with pytest.raises(Conflict):
        await backend.locks.renew(lock, b"2", ttl=LONG)
    with pytest.raises(Conflict):
        await backend.locks.release(lock)
    again = await backend.locks.create("lease.one", b"3", ttl=LONG)
    assert await backend.locks.get("lease.one") == (b"3", again.revision)


async def test_a_lock_taken_over_by_another_cannot_be_renewed(backend: Backend) -> None:
    mine = await backend.locks.create("lease.one", b"mine", ttl=LONG)
    await backend.locks.release(mine)
    yours = await backend.locks.create("lease.one", b"yours", ttl=LONG)
    with pytest.raises(Conflict):
        await backend.locks.renew(mine, b"mine", ttl=LONG)
    assert await backend.locks.get("lease.one") == (b"yours", yours.revision)


async def test_a_renewal_holds_for_its_own_ttl(backend: Backend) -> None:
    lock = await backend.locks.create("lease.one", b"1", ttl=SHORT)
    async with backend.locks.endings("lease") as endings:
        await backend.locks.renew(lock, b"2", ttl=LONG)
        await backend.locks.create("lease.two", b"1", ttl=SHORT)
        assert await take(endings, 1) == ["lease.two"]
        assert await backend.locks.get("lease.one") is not None


async def test_a_renewed_lock_still_runs_out(backend: Backend) -> None:
    lock = await backend.locks.create("lease.one", b"1", ttl=LONG)
    async with backend.locks.endings("lease") as endings:
        await backend.locks.renew(lock, b"2", ttl=SHORT)
        assert await take(endings, 1) == ["lease.one"]
        assert await backend.locks.get("lease.one") is None


async def test_held_keys_are_listed_by_whole_tokens(backend: Backend) -> None:
    for key in ("lease.a.1", "lease.b", "leases.c", "reconciler"):
        await backend.locks.create(key, key.encode(), ttl=LONG)
    await backend.locks.release(await backend.locks.create("lease.d", b"", ttl=LONG))
    assert await backend.locks.list("lease") == {"lease.a.1": b"lease.a.1", "lease.b": b"lease.b"}
    assert await backend.locks.list("lease.a") == {"lease.a.1": b"lease.a.1"}
    assert await backend.locks.list("missing") == {}


async def test_endings_by_release_and_by_time_are_followed_by_whole_tokens(backend: Backend) -> None:
    before = await backend.locks.create("lease.before", b"", ttl=LONG)
    await backend.locks.release(before)
    async with backend.locks.endings("lease") as endings:
        await backend.locks.release(await backend.locks.create("leases.other", b"", ttl=LONG))
        await backend.locks.release(await backend.locks.create("lease.released", b"", ttl=LONG))
        await backend.locks.create("lease.ran-out", b"", ttl=SHORT)
        assert await take(endings, 2) == ["lease.released", "lease.ran-out"]


async def test_an_ending_is_seen_by_each_who_follows(backend: Backend) -> None:
    async with backend.locks.endings("lease") as one, backend.locks.endings("lease.a") as two:
        await backend.locks.release(await backend.locks.create("lease.a.1", b"", ttl=LONG))
        assert await take(one, 1) == ["lease.a.1"]
        assert await take(two, 1) == ["lease.a.1"]


async def test_taking_and_renewing_are_no_endings(backend: Backend) -> None:
    async with backend.locks.endings("lease") as endings:
        lock = await backend.locks.create("lease.a", b"", ttl=LONG)
        lock = await backend.locks.renew(lock, b"2", ttl=LONG)
        await backend.locks.release(await backend.locks.create("lease.b", b"", ttl=LONG))
        await backend.locks.release(lock)
        with anyio.fail_after(DEADLINE):
            assert [await anext(endings), await anext(endings)] == ["lease.b", "lease.a"]


async def test_a_key_that_is_set_has_the_last_value_and_ends_by_time(backend: Backend) -> None:
    await backend.locks.put("control.one", b"1", ttl=LONG)
    await backend.locks.put("control.one", b"2", ttl=SHORT)
    found = await backend.locks.get("control.one")
    assert found is not None
    assert found[0] == b"2"
    await eventually(lambda: backend.locks.get("control.one"), lambda held: held is None)


async def test_keys_that_are_set_below_a_prefix_are_followed(backend: Backend) -> None:
    await backend.locks.put("control.one.a", b"before", ttl=LONG)
    async with backend.locks.settings("control.one") as settings:
        await backend.locks.put("control.other.a", b"", ttl=LONG)
        await backend.locks.put("control.one.b", b"", ttl=SHORT)
        await backend.locks.put("control.one.a", b"", ttl=LONG)
        assert await take(settings, 2) == ["control.one.b", "control.one.a"]
