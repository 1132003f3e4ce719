"""What a message to others says of the run that sent it, and how JSON goes into it."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from natsched.targets.context import Context
from natsched.targets.tracing import trace_headers


def told(context: Context) -> dict[str, str]:
    """Return the headers of any message of a run."""
    return {
        "Natsched-Job": context.job_id,
        "Natsched-Execution": context.execution_id,
        "Natsched-Attempt": str(context.attempt),
        "Natsched-Due": context.due.isoformat(),
        **trace_headers(context),
    }


def joined(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Put a target's own headers over those of the run, whatever their case."""
    names = {name.lower() for name in own}
    return {**{name: value for name, value in headers.items() if name.lower() not in names}, **own}


def encoded(value: JsonValue) -> bytes:
    """Return JSON as bytes; none for None."""
    return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()
