"""Queues that are added, given up and resized while the replica runs."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from natsched.core.schedules import Interval, Once
from natsched.daemon.slots import Slots
from natsched.targets.context import Context
from natsched.testing.virtual import EPOCH
from natsched.testing.world import ServerlikeClock
from tests.daemon.harness import World, in_a_world
from tests.virtual import run_virtual

SECOND = Interval(seconds=1)


def _ran(world: World) -> Counter[str]:
    """Return how often each job was called since this was asked last."""
    counted = Counter(call.job_id for call in world.calls)
    world.calls.clear()
    return counted


@in_a_world
async def test_a_queue_is_added_and_another_given_up(world: World) -> None:
    world.handler(takes=0.1)
    member = await world.start(queues={"a": 5})
    for queue in "ab":
        await world.client.ensure_job(queue, SECOND, handler="h", queue=queue)
    await world.clock.sleep(5.5)
    assert set(_ran(world)) == {"a"}
    member.replica.serve({"a": 5, "b": 2})
    await world.clock.sleep(5)
    assert set(_ran(world)) == {"a", "b"}
    assert {name: place.number for name, place in member.replica.condition().places.items()} == {"a": 5, "b": 2}
    (living,) = await world.client.replicas()
    assert living.queues == {"a": 5, "b": 2}
    member.replica.serve({"b": 2})
    await world.clock.sleep(2)
    _ran(world)
    await world.clock.sleep(10)
    assert set(_ran(world)) == {"b"}
    assert set(member.replica.condition().places) == {"b"}
    member.replica.serve({"a": 1, "b": 2})
    await world.clock.sleep(10)
    assert _ran(world)["a"] >= 8


@in_a_world
async def test_what_runs_and_is_held_of_a_queue_that_is_given_up_goes_on_to_its_end(world: World) -> None:
    world.handler(takes=10)
    member = await world.start(queues={"a": 5, "b": 1})
    now = world.clock.now()
    for number, seconds in enumerate((2, 3.5)):
        await world.client.submit_job(f"a{number}", Once(now + timedelta(seconds=seconds)), handler="h", queue="a")
    await world.clock.sleep(3)
    member.replica.serve({"b": 1})
    await world.clock.sleep(1)
    assert member.replica.condition().places["a"].taken == 2
    await world.clock.sleep(20)
    assert [(record.job, record.status) for record in world.ends] == [("a0", "ok"), ("a1", "ok")]
    assert "a" not in member.replica.condition().places


@in_a_world
async def test_a_queue_has_more_places_at_once_and_fewer_when_runs_end(world: World) -> None:
    running = Counter[str]()
    most: list[int] = []

    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        running["h"] += 1
        most.append(running["h"])
        await world.clock.sleep(3)
        running["h"] -= 1

    member = await world.start(queues={"a": 2})
    for number in range(8):
        await world.client.ensure_job(f"a{number}", SECOND, handler="h", queue="a")
    for wanted in (2, 6, 1):
        member.replica.serve({"a": wanted})
        await world.clock.sleep(10)
        most.clear()
        await world.clock.sleep(10)
        assert max(most) == wanted


@given(st.lists(st.integers(-1, 6), max_size=30))
def test_no_more_have_a_place_than_there_are_and_nobody_waits_where_one_is_free(steps: Sequence[int]) -> None:
    """-1 gives a place back, 0 takes one, other numbers are how many there are to be."""

    async def test() -> None:
        slots, taken = Slots(2, ServerlikeClock(EPOCH)), 0
        for step in steps:
            match step:
                case -1 if taken:
                    slots.release()
                    taken -= 1
                case 0:
                    taken += slots.take()
                case number if number > 0:
                    slots.resize(number)
            assert slots.free == slots.number - taken
            assert slots.free > 0 or not slots.take()

    run_virtual(test)
