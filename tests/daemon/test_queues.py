"""Several queues of one replica."""

from collections import Counter

from natsched.core.schedules import Interval
from tests.daemon.harness import World, in_a_world


@in_a_world
async def test_two_queues_that_are_full_both_go_on(world: World) -> None:
    """Each waits for a place of its own to come free; both must hear of it."""
    world.handler(takes=0.9)
    await world.start(queues={"a": 1, "b": 1})
    for number in range(3):
        for queue in "ab":
            await world.client.ensure_job(f"{queue}{number}", Interval(seconds=1), handler="h", queue=queue)
    await world.clock.sleep(20)
    world.calls.clear()
    await world.clock.sleep(20)
    ran = Counter(call.job_id for call in world.calls)
    assert sum(ran[f"a{number}"] for number in range(3)) > 15
    assert sum(ran[f"b{number}"] for number in range(3)) > 15
