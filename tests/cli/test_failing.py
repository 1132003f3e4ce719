"""Errors: one line, the right exit code, JSON where JSON was asked for, and never a traceback unasked."""

import json

import pytest
import typer

from natsched import errors
from natsched.cli import asking
from natsched.cli.failing import EXIT_CODES, report
from natsched.client import versions
from tests.cli.running import Cli


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NatschedError("x"), 1),
        (errors.ExecutionFailed("x"), 1),
        (errors.ConfigError("x"), 2),
        (errors.ScheduleError("x"), 2),
        (errors.InvalidJob("x"), 2),
        (errors.Unavailable("x"), 3),
        (errors.ServerTooOld("x"), 3),
        (errors.JobNotFound("x"), 4),
        (errors.JobExists("x"), 5),
        (errors.Conflict("x"), 5),
        (RuntimeError("x"), 70),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (BaseExceptionGroup("", [ValueError("y"), ExceptionGroup("", [errors.JobNotFound("x")])]), 4),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert report(error, machine=False, debug=False) == code
    assert f"{code} " in EXIT_CODES


def test_an_error_is_json_where_json_was_asked_for(cli: Cli, stored: object) -> None:
    ran = cli("job", "show", "nobody", "--json")
    assert json.loads(ran.err) == {"error": {"type": "JobNotFound", "message": "there is no job nobody"}}
    assert (ran.out, ran.code) == ("", 4)
    ran = cli("job", "lst", "--json")
    assert json.loads(ran.err)["error"]["type"] == "UsageError"


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("job", "list", "--lmit"), ("execution", "show"), ("job", "show")]
)
def test_a_usage_error_says_where_help_is(cli: Cli, arguments: tuple[str, ...]) -> None:
    said = cli.refused(*arguments)
    assert "--help" in said
    assert "\n" not in said


def test_a_bug_is_one_line_and_a_traceback_only_for_debug(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr(versions, "_version", broken)
    ran = cli("version")
    assert (ran.code, ran.err) == (70, "internal error: RuntimeError: a bug (--debug shows where)\n")
    ran = cli("version", "--debug")
    assert ran.code == 70
    assert ran.err.startswith("Traceback")
    assert ran.err.endswith("internal error: RuntimeError: a bug\n")


def test_what_could_steer_a_terminal_is_escaped(cli: Cli) -> None:
    assert "\x1b" not in cli.refused("job", "ensure", "\x1b[31m", "--every", "1h")


def test_no_server_ends_in_3(cli: Cli) -> None:
    said = cli.refused("job", "list", "--server", "127.0.0.1:9", "--set", "nats.connect_timeout=200ms", code=3)
    assert "127.0.0.1:9" in said


def test_a_command_waits_no_longer_for_nats_than_one_attempt_may_take() -> None:
    from natsched.config import Settings

    assert asking.impatient(Settings()).scheduler.jetstream_ready_timeout == Settings().nats.connect_timeout


def test_memory_of_another_process_cannot_be_asked(cli: Cli) -> None:
    assert "local" in cli.refused("job", "list", "--set", "mode=local")


@pytest.mark.parametrize("arguments", [("--help",), ("job", "ensure", "--help"), ("serve", "-h"), ("dev", "--help")])
def test_help_needs_nothing(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert "Usage:" in cli.ok(*arguments).out


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    text = " ".join(cli.ok("--help").out.split())
    assert " ".join(EXIT_CODES.split()) in text
