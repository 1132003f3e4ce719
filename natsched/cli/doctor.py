"""`natsched doctor`: is all well, and if not, what to do."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from natsched.cli.asking import impatient, of_nats
from natsched.cli.flags import Where
from natsched.cli.logs import hush
from natsched.cli.output import Output

if TYPE_CHECKING:
    from natsched.doctor import Finding

_STYLES: Final = {"ok": "green", "unknown": "dim", "warning": "yellow", "problem": "bold red"}


def doctor(
    where: Where,
    monitoring: Annotated[
        str | None,
        typer.Option("--monitoring", metavar="URL", help="The server's monitoring port: http://127.0.0.1:8222."),
    ] = None,
) -> None:
    """Look whether all is well, change nothing, and say what to do; 1 if there is a problem."""
    import anyio

    from natsched.doctor import Level, examine

    hush(debug=where.debug)
    settings = impatient(of_nats(where.settings()))
    findings = anyio.run(lambda: examine(settings, monitoring=monitoring))
    output = Output(json=where.json)
    counts = Counter(finding.level for finding in findings)
    is_well = not counts[Level.PROBLEM]
    if output.json:
        output.value({"ok": is_well, "findings": [_form(finding) for finding in findings]})
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            output.line(f"{finding.level:<8} {finding.check:<{width}}  {finding.text}", _STYLES[finding.level])
            if finding.cure is not None:
                output.line(f"{'':<8} {'':<{width}}  -> {finding.cure}")
        words = f"{_number(counts[Level.PROBLEM], 'problem')}, {_number(counts[Level.WARNING], 'warning')}"
        output.line(f"OK: {words}" if is_well else f"NOT OK: {words}", "bold green" if is_well else "bold red")
    raise typer.Exit(0 if is_well else 1)


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _form(finding: "Finding") -> dict[str, str | None]:
    return {"check": finding.check, "level": finding.level, "text": finding.text, "cure": finding.cure}
