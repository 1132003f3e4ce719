"""What a handler is told about the execution it is called for, and what it can say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from natsched.core.executions import Cause
from natsched.targets.control import Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One attempt of one execution.

    `due` is the planned instant and `started_at` the actual one, both by the server's clock; `attempt` counts
    from 1. Of two attempts of an execution at most one finishes, so `execution_id` is the key to make the
    handler's effects idempotent. `fence` grows with each claim of the job: a store that refuses one lower than it has
    seen keeps out a holder that was suspended past its lease. `payload` is what the job or the trigger carries.
    By `deadline`, if there is one, the attempt is ended. Of all replicas one `is_primary`, for as long as it lives.
    `cause` is the end of the job before it in a chain.
    """

    job_id: str
    execution_id: str
    due: datetime
    started_at: datetime
    attempt: int
    metadata: Mapping[str, Any]
    payload: Any
    replica: str = ""
    manual: bool = False
    fence: int = 0
    deadline: datetime | None = None
    is_primary: bool = True
    cause: Cause | None = None
    control: Control = field(default_factory=Control, repr=False, compare=False)

    @property
    def lag(self) -> float:
        """Seconds from due to start."""
        return (self.started_at - self.due).total_seconds()

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end: for a plain function, whose thread nothing can interrupt, to look at."""
        return self.control.cancelled

    async def checkpoint(self) -> None:
        """Wait here for as long as the execution is paused; a thread says `anyio.from_thread.run(ctx.checkpoint)`."""
        await self.control.checkpoint()

    def check_in(self, text: str, data: JsonValue = None) -> None:
        """Tell how far it is, at once and without waiting; from any thread. The last word stays in the record."""
        self.control.check_in(text, data)

    async def save_data(self, data: JsonValue) -> None:
        """Keep JSON of up to 64 KiB for later attempts of this execution; it is stored when this returns."""
        await self.control.save_data(data)

    async def get_data(self) -> JsonValue:
        """Return what this execution, in whichever attempt, saved last; None if nothing."""
        return await self.control.get_data()
