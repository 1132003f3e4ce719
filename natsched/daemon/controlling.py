"""What passes between a run and the world while it lasts: cancel, pause, progress, data.

What a run says is a key of its own beside the leases, `note.<job>.<execution>.<what>`, there to be read at once.
"""

import asyncio
import json
import math
from datetime import timedelta
from typing import Final

import anyio
import anyio.lowlevel
from pydantic import JsonValue

from natsched.clock import Clock
from natsched.core.documents import encode_check_in
from natsched.core.executions import CheckIn
from natsched.core.jobs import ExecutionId, JobId
from natsched.core.specs import check_payload
from natsched.errors import BackendError, DocumentError
from natsched.logs import get_logger
from natsched.ports import Locks
from natsched.protocol.telling import CHECK_IN, note
from natsched.targets.calling import writable
from natsched.targets.control import Control
from natsched.targets.hooking import HookedRun

LIFE: Final = timedelta(days=7)
"""How long what a run said is kept after its last word, unless it ends before."""

_SOON: Final = timedelta(seconds=1)
_TOGETHER: Final = 64
_MOST_TEXT: Final = 500
_DATA: Final = "data"

log = get_logger(__name__)


class Notes:
    """Writes down what runs say: check-ins in passing, the newest of each; data at once."""

    def __init__(self, locks: Locks, clock: Clock) -> None:
        self._locks = locks
        self.clock: Final = clock
        self._new: dict[str, CheckIn | None] = {}
        self._some = anyio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self, key: str, check_in: CheckIn | None) -> None:
        """Have a check-in written, from any thread; with None have the note end, whatever it says.

        One that was not written yet is forgotten for it.
        """
        self._new[key] = check_in
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._some.set)

    async def run(self) -> None:
        """Write for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._some = anyio.Event()
            if not self._new:
                await self._some.wait()
            async with anyio.create_task_group() as writing:
                for key in list(self._new)[:_TOGETHER]:
                    writing.start_soon(self._write, key, self._new.pop(key))

    async def _write(self, key: str, check_in: CheckIn | None) -> None:
        try:
            if check_in is None:
                await self._locks.put(key, b"", ttl=_SOON)
            else:
                await self._locks.put(key, encode_check_in(check_in), ttl=LIFE)
        except BackendError as error:
            log.warning("a note could not be written", action="note_lost", key=key, error=str(error))

    async def save(self, key: str, data: JsonValue) -> None:
        await self._locks.put(key, json.dumps(data).encode(), ttl=LIFE)

    async def saved(self, key: str) -> JsonValue:
        found = await self._locks.get(key)
        if found is None or not found[0]:
            return None
        try:
            data: JsonValue = json.loads(found[0])
        except (ValueError, RecursionError) as error:
            raise DocumentError(field=key, reason="what the execution saved cannot be read: save it anew") from error
        return data


class RunControl(Control):
    """One run's side; with `has_deadline` its time limit is an instant, which no pause puts off."""

    def __init__(self, notes: Notes, job: JobId, execution: ExecutionId, *, paused: bool) -> None:
        super().__init__()
        self._notes = notes
        self._job = job
        self._execution = execution
        self._go_on: anyio.Event | None = anyio.Event() if paused else None
        self._stopped = False
        self._has_data = False
        self.hooks: HookedRun | None = None
        self.has_deadline = False
        self.last: CheckIn | None = None

    def stop(self) -> None:
        """The run is to end; one that is paused goes on, to its end."""
        self._stopped = True
        self.pause(paused=False)

    def pause(self, *, paused: bool) -> None:
        """Have the run wait at its next checkpoint, or go on."""
        if paused and self._go_on is None and not self._stopped:
            self._go_on = anyio.Event()
        elif not paused and self._go_on is not None:
            self._go_on.set()
            self._go_on = None

    @property
    def is_paused(self) -> bool:
        return self._go_on is not None

    @property
    def cancelled(self) -> bool:
        self.was_seen = self._stopped
        return self._stopped

    async def checkpoint(self) -> None:
        await anyio.lowlevel.checkpoint()
        while self._go_on is not None:
            await self._wait(self._go_on)

    async def _wait(self, go_on: anyio.Event) -> None:
        """Wait, and let the time limit wait as well."""
        if self.hooks is not None:
            await self.hooks.tell("on_pause")
        began, limit = anyio.current_time(), None if self.has_deadline else self.limit
        until = math.inf if limit is None else limit.deadline
        if limit is not None:
            limit.deadline = math.inf
        try:
            await go_on.wait()
        finally:
            if limit is not None:
                limit.deadline = until + anyio.current_time() - began
        if self.hooks is not None and not self._stopped:
            await self.hooks.tell("on_resume")

    def check_in(self, text: str, data: JsonValue) -> None:
        check_payload(data, field="data")
        self.last = CheckIn(text=writable(str(text)[:_MOST_TEXT]), at=self._notes.clock.now(), data=data)
        self._notes.tell(self._key(CHECK_IN), self.last)

    async def save_data(self, data: JsonValue) -> None:
        check_payload(data, field="data")
        self._has_data = True
        await self._notes.save(self._key(_DATA), data)

    async def get_data(self) -> JsonValue:
        data = await self._notes.saved(self._key(_DATA))
        self._has_data = self._has_data or data is not None
        return data

    def forget(self) -> None:
        """The execution went well: nobody needs its notes any more."""
        if self.last is not None:
            self._notes.tell(self._key(CHECK_IN), None)
        if self._has_data:
            self._notes.tell(self._key(_DATA), None)

    def _key(self, what: str) -> str:
        return note(self._job, self._execution, what)
