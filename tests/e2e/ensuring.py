"""One of many processes that ensure the same job at once: it says what each of its calls returned.

Its arguments are the URL and its number. It connects, says so, and waits for a line on stdin before each call.
"""

import json
import sys

import anyio
import anyio.to_thread

from natsched import Interval, connect


async def main(url: str, number: str) -> None:
    async with connect(url) as client:
        await _turn("connected")
        same = await client.ensure_job("same", Interval(seconds=1), handler="work")
        await _turn(same)
        mine = {"number": int(number)}
        differing = await client.ensure_job("differing", Interval(seconds=1), handler="work", metadata=mine)
        print(json.dumps(differing), flush=True)


async def _turn(text: str) -> None:
    """Say something and wait for the word to go on."""
    print(json.dumps(text), flush=True)
    await anyio.to_thread.run_sync(sys.stdin.readline)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
