"""The W3C trace context that a run passes on to whom it asks."""

import re
from hashlib import sha256
from typing import Final

from natsched.targets.context import Context
from natsched.traces import Carrier, carrier

TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_headers(context: Context) -> Carrier:
    """Return those of the current span.

    Without one: that of the job's metadata, or else one whose trace is the execution, and whose span the attempt.
    """
    current = carrier()
    if current:
        return current
    given = context.metadata.get(TRACEPARENT)
    if isinstance(given, str) and _FORM.fullmatch(given):
        return {TRACEPARENT: given}
    trace = sha256(context.execution_id.encode()).hexdigest()[:32]
    span = sha256(f"{context.execution_id}/{context.attempt}".encode()).hexdigest()[:16]
    return {TRACEPARENT: f"00-{trace}-{span}-01"}
