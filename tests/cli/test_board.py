"""The board of `natsched dev`: a line for each run, and the sum of them."""

import json
from datetime import timedelta
from typing import Any

import pytest

from natsched.cli.board import Board
from natsched.cli.output import Output
from natsched.core.executions import ExecutionStatus, Record
from natsched.daemon.events import RunEnded, RunLeftOut, RunStarted
from tests.cli.hands import HandClock
from tests.factories import NOON, make_record


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def closed() -> list[bool]:
    return []


@pytest.fixture
def board(clock: HandClock, closed: list[bool]) -> Board:
    return Board(Output(), clock, lambda: closed.append(True))


def _run(
    board: Board, number: int, lag: float, status: ExecutionStatus = ExecutionStatus.OK, **fields: Any
) -> Record:
    due = NOON + timedelta(seconds=number)
    record = make_record(
        execution=f"UID-{number}",
        status=status,
        due=due,
        started_at=due + timedelta(seconds=lag),
        ended_at=due + timedelta(seconds=lag + 1),
        **fields,
    )
    board(RunStarted(job=record.job, execution=record.execution, attempt=1, due=due, lag=lag))
    board(RunEnded(record=record))
    return record


def test_each_run_is_a_line_with_its_lag(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board.begin()
    _run(board, 7, 0.002)
    head, line = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "START (UTC)"
    assert line.split() == ["12:00:07.002", "billing.daily", "#7", "1", "2.00", "ms", "1.00", "s", "ok"]


def test_the_lag_shown_counts_from_the_jittered_start(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    record = make_record(started_at=NOON + timedelta(seconds=30), ended_at=NOON + timedelta(seconds=31))
    board(RunStarted(job=record.job, execution=record.execution, attempt=1, due=NOON, lag=0.001))
    board(RunEnded(record=record))
    assert "1.00 ms" in capsys.readouterr().out
    assert board.summary()["lag_p50_ms"] == 1.0


def test_a_failure_shows_its_error_and_traceback(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    _run(board, 1, 0, ExecutionStatus.FAILED, error="KeyError: 'x'", traceback="Traceback:\n  here\n")
    shown = capsys.readouterr().out
    assert "failed  KeyError: 'x'\n    Traceback:\n      here\n" in shown


def test_what_did_not_run_is_told_with_its_number(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board(RunLeftOut(record=make_record(attempt=0, status=ExecutionStatus.MISSED, number=5, reason="too late")))
    assert "missed x5  too late" in capsys.readouterr().out


def test_the_summary_adds_up(board: Board) -> None:
    for number in range(1, 101):
        _run(board, number, number / 1000)
    _run(board, 101, 0.05, ExecutionStatus.FAILED)
    _run(board, 102, 0.05, ExecutionStatus.INTERRUPTED)
    board(RunLeftOut(record=make_record(attempt=0, status=ExecutionStatus.MISSED, number=5)))
    board(RunLeftOut(record=make_record(attempt=0, status=ExecutionStatus.SKIPPED)))
    summary = board.summary()
    assert (summary["runs"], summary["failed"], summary["missed"], summary["skipped"]) == (102, 1, 5, 1)
    assert summary["lag_p50_ms"] == pytest.approx(50, abs=1)
    assert summary["lag_p99_ms"] == pytest.approx(99, abs=1)


def test_a_run_that_was_made_up_for_does_not_count_as_late(board: Board) -> None:
    _run(board, -60, 61)
    assert board.summary()["runs"] == 1
    assert board.summary()["lag_p99_ms"] is None
    _run(board, 1, 0.001)
    assert board.summary()["lag_p99_ms"] == 1.0


def test_more_than_forty_lines_a_second_are_counted(
    board: Board, clock: HandClock, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(100):
        _run(board, number, 0)
    assert len(capsys.readouterr().out.splitlines()) == 40
    clock.advance(1)
    _run(board, 101, 0)
    assert capsys.readouterr().out.splitlines()[0] == "... and 60 more"
    assert board.summary()["runs"] == 101


def test_json_has_a_line_for_each_run(clock: HandClock, capsys: pytest.CaptureFixture[str]) -> None:
    board = Board(Output(json=True), clock, lambda: None)
    board.begin()
    _run(board, 7, 0.002)
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["execution"], line["lag"]) == ("run", "UID-7", 0.002)


def test_a_reader_who_left_ends_it(board: Board, closed: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("sys.stdout.write", broken)
    _run(board, 1, 0)
    _run(board, 2, 0)
    assert closed == [True]
