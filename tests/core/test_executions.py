"""The life of an execution: the table, the records."""

from datetime import timedelta
from itertools import product

import pytest

from natsched.core.executions import (
    DID_NOT_RUN,
    FAILURES,
    FINAL,
    TRANSITIONS,
    Event,
    ExecutionStatus,
    advance,
    chart,
)
from tests.factories import NOON, make_record

S, E = ExecutionStatus, Event
LEGAL = {(status, event) for status, row in TRANSITIONS.items() for event in row}


@pytest.mark.parametrize(("status", "event"), sorted(set(product(S, E)) - LEGAL))
def test_what_is_not_in_the_table_cannot_happen(status: ExecutionStatus, event: Event) -> None:
    with pytest.raises(KeyError):
        advance(status, event)


def test_what_is_final_stays() -> None:
    assert {S.OK, S.FAILED, S.TIMED_OUT, S.CANCELLED, S.LOST, S.DEAD} | DID_NOT_RUN == FINAL
    assert {event for status, event in LEGAL if status in FINAL} == {E.RETRY_BY_HAND}


def test_every_status_is_reached_from_planned_and_every_event_happens_somewhere() -> None:
    reached = {S.PLANNED}
    for _ in S:
        reached |= {advance(status, event) for status, event in LEGAL if status in reached}
    assert reached == set(S)
    assert {event for _, event in LEGAL} == set(E)


def test_what_did_not_run_was_never_claimed() -> None:
    assert {
        TRANSITIONS[S.PLANNED][event] for event in TRANSITIONS[S.PLANNED] if event not in {E.CLAIM, E.CANCEL}
    } == DID_NOT_RUN
    assert not DID_NOT_RUN & set(TRANSITIONS[S.RUNNING].values())


def test_an_interrupted_run_goes_on_by_being_claimed_unless_it_is_cancelled() -> None:
    assert {event for status, event in LEGAL if status is S.INTERRUPTED} == {E.CLAIM, E.CANCEL}


def test_a_history_of_failures_leaves_out_only_success() -> None:
    assert {S.OK} == FINAL - FAILURES


def test_the_chart_draws_every_transition() -> None:
    lines = chart().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == 2 + len(LEGAL) + len(FINAL)
    assert "    planned --> running: claim" in lines
    assert "    dead --> [*]" in lines


def test_a_record_knows_its_lag_and_its_duration() -> None:
    started, ended = NOON + timedelta(milliseconds=3), NOON + timedelta(seconds=2)
    record = make_record(started_at=started, ended_at=ended)
    assert (record.lag, record.duration) == (0.003, 1.997)
    skipped = make_record(attempt=0, status=S.SKIPPED, ended_at=ended)
    assert (skipped.lag, skipped.duration) == (None, None)
