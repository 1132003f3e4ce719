"""What is written for people and for programs."""

import io
import json
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsched.cli.output import Output, clean, dumps


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


ROWS = [("a.very.long.id." * 8, "ok"), ("b", "failed")]


def test_a_table_in_a_pipe_is_plain_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("ID", "STATUS"), ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["ID", "STATUS"], *([*row] for row in ROWS)]
    assert len({line.rindex(" ") for line in lines}) == 1


def test_a_table_on_a_terminal_has_colours_and_fits(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        Output().table(("ID", "STATUS"), ROWS)
    written = terminal.getvalue()
    assert "\x1b[31mfailed" in written
    assert "a.very.long.id" in written


def test_a_narrow_terminal_shows_the_first_columns(terminal: Terminal) -> None:
    columns = [f"COLUMN{number}" for number in range(9)]
    with redirect_stdout(terminal):
        Output().table(columns, [[f"cell{number}" for number in range(9)]])
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 3
    assert "cell4" in lines[2]
    assert "cell7" not in lines[2]


def test_no_color_is_heeded(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with redirect_stdout(terminal):
        Output().table(("ID", "STATUS"), ROWS)
    assert "\x1b[3" not in terminal.getvalue()


def test_brackets_are_text_and_no_markup(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        Output().line("[bold]x[/bold] [1]")
        Output().details([("error", "[/red] [a]")])
    assert "[bold]x[/bold] [1]" in terminal.getvalue()
    assert "[/red] [a]" in terminal.getvalue()


def test_notes_are_for_people_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=True).note("more")
    Output().note("more")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "more\n")


@given(st.text())
def test_clean_text_has_nothing_that_steers_a_terminal(text: str) -> None:
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)


@given(st.text(alphabet=st.characters()))
def test_json_can_always_be_written_and_read_back(text: str) -> None:
    assert json.loads(dumps({"text": text})) == {"text": text}


def test_json_keeps_letters_and_escapes_what_no_encoding_has() -> None:
    assert dumps("ä") == '"ä"'
    assert dumps("\ud800") == '"\\ud800"'
