"""Reading ahead: the next chunk is on its way while this one is worked on."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

T = TypeVar("T")


@asynccontextmanager
async def one_ahead(chunks: AsyncIterator[T]) -> AsyncGenerator[AsyncIterator[T], None]:
    """Give the chunks in order, with one more requested than was asked for."""
    send, receive = anyio.create_memory_object_stream[T](0)

    async def fetch() -> None:
        async with send:
            async for chunk in chunks:
                await send.send(chunk)

    async with anyio.create_task_group() as tasks, receive:
        tasks.start_soon(fetch)
        yield receive
        tasks.cancel_scope.cancel()
