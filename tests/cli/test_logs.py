"""Log lines: their form, and what becomes of a replica's events."""

import json
import logging
import sys

import pytest

from natsched.cli.logs import formatter
from natsched.cli.telling import LogObserver, Seldom
from natsched.config import Logs
from natsched.core.executions import ExecutionStatus
from natsched.daemon.events import (
    Event,
    HandedBack,
    HintDropped,
    LeaseLost,
    NoticeDropped,
    Quarantined,
    Repaired,
    RunClaimed,
    RunEnded,
    RunLeftOut,
    RunStarted,
    Swept,
)
from natsched.logs import get_logger
from tests.cli.hands import HandClock
from tests.factories import NOON, make_record

STATUS = ExecutionStatus


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def _said(caplog: pytest.LogCaptureFixture, *events: Event, observer: LogObserver) -> list[tuple[str, str]]:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    for event in events:
        observer(event)
    return [(record.levelname, record.__dict__["fields"]["action"]) for record in caplog.records]


def _claimed(*, died: bool) -> Event:
    return RunClaimed(job="a", execution="A-1", attempt=2, due=NOON, start=NOON, died=died)


def _ended(status: ExecutionStatus) -> Event:
    return RunEnded(record=make_record(status=status, started_at=NOON, ended_at=NOON, retry_at=NOON))


def _left_out(status: ExecutionStatus, attempt: int = 0) -> Event:
    return RunLeftOut(record=make_record(status=status, attempt=attempt, started_at=NOON if attempt else None))


@pytest.mark.parametrize(
    ("event", "level", "action"),
    [
        (_claimed(died=False), "DEBUG", "run_claimed"),
        (_claimed(died=True), "INFO", "run_taken_over"),
        (RunStarted(job="a", execution="A-1", attempt=1, due=NOON, lag=0.001), "DEBUG", "run_started"),
        (_ended(STATUS.OK), "DEBUG", "run_ended"),
        (_ended(STATUS.INTERRUPTED), "INFO", "run_ended"),
        (_ended(STATUS.CANCELLED), "INFO", "run_ended"),
        (_ended(STATUS.RETRYING), "WARNING", "run_ended"),
        (_ended(STATUS.FAILED), "WARNING", "run_ended"),
        (_ended(STATUS.TIMED_OUT), "WARNING", "run_ended"),
        (_ended(STATUS.DEAD), "WARNING", "run_ended"),
        (_left_out(STATUS.SKIPPED), "WARNING", "run_left_out"),
        (_left_out(STATUS.COALESCED), "WARNING", "run_left_out"),
        (_left_out(STATUS.MISSED), "WARNING", "run_left_out"),
        (_left_out(STATUS.SUPERSEDED), "WARNING", "run_left_out"),
        (_left_out(STATUS.EXPIRED), "WARNING", "run_left_out"),
        (_left_out(STATUS.PAUSED), "WARNING", "run_left_out"),
        (_left_out(STATUS.CANCELLED), "WARNING", "run_left_out"),
        (_left_out(STATUS.CANCELLED, attempt=1), "WARNING", "run_buried"),
        (_left_out(STATUS.LOST, attempt=1), "WARNING", "run_buried"),
        (_left_out(STATUS.DEAD, attempt=4), "WARNING", "run_buried"),
    ],
)
def test_each_change_of_an_execution_is_told_with_job_execution_and_due(
    caplog: pytest.LogCaptureFixture, clock: HandClock, event: Event, level: str, action: str
) -> None:
    assert _said(caplog, event, observer=LogObserver(clock)) == [(level, action)]
    fields = caplog.records[0].__dict__["fields"]
    assert fields["job"]
    assert fields["execution"]
    assert fields["due"] == NOON.isoformat()


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (LeaseLost(lease="one.two", running=3), "WARNING"),
        (Repaired(job="a", reason="plan without a message"), "INFO"),
        (Swept(jobs=1, repairs=1, seconds=0.1, backlogs={}), "INFO"),
        (Swept(jobs=1, repairs=0, seconds=0.1, backlogs={}), "DEBUG"),
        (Quarantined(job="a", reason="v: 2"), "ERROR"),
        (HandedBack(job="a", reason="no handler 'x' here"), "WARNING"),
        (HandedBack(job="a", reason="it is running"), "DEBUG"),
        (HintDropped(job="a", reason="old"), "DEBUG"),
        (NoticeDropped(job="a", id="x", reason="too long"), "WARNING"),
    ],
)
def test_each_other_event_is_told_at_its_level(
    caplog: pytest.LogCaptureFixture, clock: HandClock, event: Event, level: str
) -> None:
    assert [said for said, _ in _said(caplog, event, observer=LogObserver(clock))] == [level]


def test_runs_that_are_shown_otherwise_are_not_logged(caplog: pytest.LogCaptureFixture, clock: HandClock) -> None:
    failed, missed = make_record(status=STATUS.FAILED), make_record(status=STATUS.MISSED)
    events = RunEnded(record=failed), RunLeftOut(record=missed), LeaseLost(lease="a", running=0)
    said = _said(caplog, *events, observer=LogObserver(clock, runs=False))
    assert said == [("WARNING", "lease_lost")]


def test_the_same_bad_document_is_told_once_an_hour(caplog: pytest.LogCaptureFixture, clock: HandClock) -> None:
    observer = LogObserver(clock)
    bad, other = Quarantined(job="a", reason="x"), Quarantined(job="a", reason="y")
    assert len(_said(caplog, bad, bad, other, observer=observer)) == 2
    clock.advance(3599)
    assert _said(caplog, bad, observer=observer) == []
    clock.advance(1)
    assert len(_said(caplog, bad, observer=observer)) == 1


def test_what_is_seldom_does_not_grow_without_end(clock: HandClock) -> None:
    seldom = Seldom(clock, every=60)
    assert all(seldom.passes(str(number)) for number in range(25_000))
    assert len(seldom._passed) <= 10_000


def _record(text: str, **fields: object) -> logging.LogRecord:
    records: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        records.append(record)
        return False

    logger = logging.getLogger("tests.cli.logs")
    logger.setLevel(logging.DEBUG)
    logger.addFilter(keep)
    try:
        get_logger("tests.cli.logs").warning(text, **fields)
    finally:
        logger.removeFilter(keep)
    return records[0]


@pytest.mark.parametrize(("form", "on_terminal"), [("json", True), ("json", False), ("auto", False)])
def test_json_lines_have_the_fields_apart(form: str, on_terminal: bool) -> None:
    logs = Logs.model_validate({"format": form})
    line = formatter(logs, on_terminal=on_terminal).format(_record("a sentence", action="act", number=3))
    said = json.loads(line)
    assert (said["event"], said["action"], said["number"], said["level"]) == ("a sentence", "act", 3, "warning")
    assert said["timestamp"].endswith("Z")


@pytest.mark.parametrize(("form", "on_terminal"), [("console", True), ("console", False), ("auto", True)])
def test_console_lines_are_text(form: str, on_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    logs = Logs.model_validate({"format": form})
    line = formatter(logs, on_terminal=on_terminal).format(_record("a sentence", action="act"))
    assert "a sentence" in line
    assert "action=act" in line
    assert "\x1b" not in line


def test_the_application_s_own_logs_take_the_same_form_and_show_no_local_variables() -> None:
    secret = "hidden"  # noqa: F841 - must not be shown
    try:
        raise ValueError("boom")
    except ValueError:
        record = logging.LogRecord("app", logging.ERROR, __file__, 1, "it %s", ("failed",), sys.exc_info())
    for form in ("json", "console"):
        line = formatter(Logs.model_validate({"format": form}), on_terminal=False).format(record)
        assert "it failed" in line
        assert "ValueError: boom" in line
        assert "hidden" not in line.replace('secret = "hidden"', "")
