"""A replica that takes the once lock, provisions half of a topology, says so and waits to be killed."""

import sys
from datetime import timedelta

import anyio

from natsched.clock import SystemClock
from natsched.jetstream.api import call
from natsched.jetstream.backend import JetStreamBackend
from natsched.jetstream.connection import ConnectionOptions, connect
from natsched.jetstream.naming import Names
from natsched.jetstream.topology import Topology
from natsched.protocol.once import once


async def main(url: str, prefix: str) -> None:
    names = Names(stream=f"{prefix}S", prefix=prefix, jobs=f"{prefix}J", executions=f"{prefix}E", locks=f"{prefix}L")
    locks, *others = Topology(names=names).assets()
    async with connect(ConnectionOptions(servers=(url,))) as connection:

        async def halfway() -> None:
            for asset in others[:2]:
                await call(connection, f"STREAM.CREATE.{asset.name}", {**asset.config(), "name": asset.name})
            print("halfway", flush=True)
            await anyio.sleep_forever()

        await call(connection, f"STREAM.CREATE.{locks.name}", {**locks.config(), "name": locks.name})
        async with JetStreamBackend(connection, names) as backend:
            await once(
                backend.locks,
                SystemClock(),
                "scheduler.init",
                halfway,
                owner="dying",
                fingerprint="any",
                ttl=timedelta(seconds=2),
                deadline=timedelta(minutes=1),
            )


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
