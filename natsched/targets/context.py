"""What a handler is told about the execution it is called for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One attempt of one execution.

    `due` is the planned instant and `started_at` the actual one, both by the server's clock; `attempt` counts
    from 1. Of two attempts of an execution at most one finishes, so `execution_id` is the key to make the
    handler's effects idempotent. `payload` is what the job or the trigger carries.
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

    @property
    def lag(self) -> float:
        """Seconds from due to start."""
        return (self.started_at - self.due).total_seconds()
