"""Run the benchmarks: all of them, or those that are named."""

import sys
from collections.abc import Awaitable, Callable

import uvloop

from tests.bench import baselines, lag, scale

BENCHES: dict[str, Callable[[], Awaitable[None]]] = {
    "at": baselines.own_schedules,
    "bare": baselines.bare_loop,
    "lag": lag.spread,
    "burst": lag.aligned,
    "sustained": lag.sustained,
    "light": lag.sustained_light,
    "bulk": scale.bulk,
    "provisioning": scale.provisioning,
    "start": scale.start,
    "sweep": scale.sweep,
}


async def main(names: list[str]) -> None:
    for name in names or list(BENCHES):
        await BENCHES[name]()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
