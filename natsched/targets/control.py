"""What passes between a run and who runs it, while it runs; this one knows nobody, as for a handler under test."""

import anyio
from pydantic import JsonValue


class Control:
    """A run that nobody cancels or pauses, and whose words nobody hears: a replica has its own."""

    def __init__(self) -> None:
        self.limit: anyio.CancelScope | None = None
        """What ends the run at its time limit, if it has one; it stands still while the run is paused."""

        self.was_seen = False
        """Whether the handler has looked and knows that it is to end."""

        self._data: JsonValue = None

    @property
    def cancelled(self) -> bool:
        return False

    async def checkpoint(self) -> None:
        """Wait while the run is paused."""

    def check_in(self, text: str, data: JsonValue) -> None:
        """Tell how far the run is."""

    async def save_data(self, data: JsonValue) -> None:
        self._data = data

    async def get_data(self) -> JsonValue:
        return self._data
