"""Where results go: JSON or text to stdout, everything else to stderr.

On a terminal tables are rich, and leave out their last columns where it is narrow; elsewhere they are plain
columns, never cut or wrapped, for `grep` and `awk`.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import typer

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final[Mapping[str, str]] = {
    "active": "green",
    "paused": "yellow",
    "completed": "dim",
    "ok": "green",
    "created": "green",
    "updated": "yellow",
    "unchanged": "dim",
    "running": "cyan",
    "interrupted": "yellow",
    "skipped": "yellow",
    "coalesced": "yellow",
    "superseded": "yellow",
    "expired": "yellow",
    "missed": "red",
    "failed": "red",
    "timed_out": "red",
    "cancelled": "red",
    "lost": "red",
    "dead": "bold red",
}

_FOLDED: Final = 4
_GAP: Final = 3

Cells: TypeAlias = Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Writes as it was asked for: for people, or with `json` for programs."""

    json: bool = False

    def value(self, data: object) -> None:
        """Write one JSON value."""
        typer.echo(dumps(data, indent=2 if sys.stdout.isatty() else None))

    def result(self, data: object, text: str, style: str = "") -> None:
        """Write a single result: as JSON, or as a line in the style of a status."""
        if self.json:
            self.value(data)
        else:
            self.line(text, STYLES.get(style, style))

    def each(self, data: object, text: str, style: str = "") -> None:
        """Write one of many results as it comes, in a line of its own."""
        if self.json:
            typer.echo(dumps(data))
        else:
            self.line(text, STYLES.get(style, style))
        sys.stdout.flush()

    def line(self, text: str, style: str = "") -> None:
        """Write a line for people, in a style where colours are shown."""
        if sys.stdout.isatty():
            console().print(_styled(clean(text), style), soft_wrap=True)
        else:
            typer.echo(clean(text))

    def note(self, text: str) -> None:
        """Say something besides the result, to people alone."""
        if not self.json:
            typer.echo(clean(text), err=True)

    def table(self, columns: Cells, rows: Iterable[Cells]) -> None:
        """Write a table for people; cells that are a known status are coloured."""
        cells = [[clean(cell) for cell in row] for row in rows]
        if sys.stdout.isatty():
            _rich_table(columns, cells)
        else:
            for text in _plain_lines([list(columns), *cells]):
                typer.echo(text)

    def details(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write names and values, one a line; those without a value are left out."""
        shown = [(name, clean(value, keep="\n")) for name, value in pairs if value not in ("", "-")]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            text = value.replace("\n", "\n" + " " * (width + 2))
            if sys.stdout.isatty():
                label = _styled(f"{name:<{width}}  ", "bold")
                console().print(label, _styled(text, STYLES.get(value, "")), sep="", soft_wrap=True)
            else:
                typer.echo(f"{name:<{width}}  {text}")


def console(*, stderr: bool = False) -> "Console":
    """Return a rich console on the stream as it is now; rich is loaded where it is needed."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def dumps(data: object, *, indent: int | None = None) -> str:
    """Return JSON; half characters, which no encoding has, stay escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    return text if text.isascii() or _encodes(text) else json.dumps(data, indent=indent)


def clean(text: str, *, keep: str = "") -> str:
    """Return the text with what could steer a terminal or break a line escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def _encodes(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _styled(text: str, style: str) -> Any:  # noqa: ANN401 - rich is imported late
    from rich.text import Text

    return Text(text, style=style)


def _rich_table(columns: Cells, rows: Sequence[Cells]) -> None:
    from rich import box
    from rich.table import Table

    terminal = console()
    kept = _fitting([columns, *rows], terminal.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns[:kept]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_styled(cell, STYLES.get(cell, "")) for cell in row[:kept]))
    terminal.print(table)


def _fitting(rows: Sequence[Cells], width: int) -> int:
    """Return how many columns fit, the first few in any case: those are folded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    kept = len(widths)
    while kept > _FOLDED and sum(widths[:kept]) + _GAP * (kept - 1) > width:
        kept -= 1
    return kept


def _plain_lines(rows: Sequence[Cells]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
