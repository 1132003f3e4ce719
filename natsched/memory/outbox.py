"""The notices of status changes, as the stream keeps them until they are sent."""

from anyio.lowlevel import checkpoint

from natsched.core.webhooks import Notice, encode_notice
from natsched.memory.stream import Stream
from natsched.memory.subjects import NOTICES
from natsched.memory.window import Window


class MemoryOutbox:
    """`ports.Outbox` in memory."""

    def __init__(self, stream: Stream, window: Window) -> None:
        self._stream = stream
        self._window = window

    async def put(self, notice: Notice) -> None:
        await checkpoint()
        if self._window.lets(f"webhook.{notice.key}"):
            self._stream.append(f"{NOTICES}.{notice.key}", encode_notice(notice))
