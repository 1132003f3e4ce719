"""The trace context that a run passes on."""

import re
from typing import Any

import pytest

from natsched.targets.context import Context
from natsched.targets.headers import joined, told
from natsched.targets.tracing import trace_headers
from tests.factories import NOON

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def of(execution: str = "U-1", attempt: int = 1, **metadata: Any) -> str:
    return trace_headers(
        Context(
            job_id="a",
            execution_id=execution,
            due=NOON,
            started_at=NOON,
            attempt=attempt,
            metadata=metadata,
            payload=None,
        )
    )["traceparent"]


def test_the_attempts_of_an_execution_share_a_trace_and_nothing_else_does() -> None:
    first, second, other = (one.split("-") for one in (of(), of(attempt=2), of("U-2")))
    assert first[1] == second[1] != other[1]
    assert first[2] != second[2]
    assert of() == of()
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", of())


def test_a_trace_of_the_jobs_metadata_is_passed_on() -> None:
    assert of(traceparent=GIVEN) == GIVEN


@pytest.mark.parametrize(
    "bad",
    [
        "",
        7,
        "00-x-y-01",
        GIVEN.upper(),
        f"ff{GIVEN[2:]}",
        GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
    ],
)
def test_one_that_is_none_is_not(bad: object) -> None:
    assert of(traceparent=bad) == of()


def test_an_own_header_of_the_target_replaces_the_trace_whatever_its_case() -> None:
    context = Context(job_id="a", execution_id="U-1", due=NOON, started_at=NOON, attempt=1, metadata={}, payload=None)
    headers = joined(told(context), {"TraceParent": GIVEN})
    assert [value for name, value in headers.items() if name.lower() == "traceparent"] == [GIVEN]
