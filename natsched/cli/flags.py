"""The flags that every command takes, before or after its name."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from natsched.config import Settings, load
from natsched.errors import ConfigError

_PANEL = "Output and debugging"
_WHERE = "Configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """How to show things."""

    json: Annotated[
        bool, typer.Option("--json", help="Write JSON to stdout, and errors as JSON.", rich_help_panel=_PANEL)
    ] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and all logs.", rich_help_panel=_PANEL)] = (
        False
    )

    def over(self, above: "Flags") -> Self:
        """Return these with what only those before the command's name say."""
        said = {field.name: getattr(above, field.name, None) for field in fields(self)}
        return replace(self, **{name: value for name, value in said.items() if not getattr(self, name) and value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Where(Flags):
    """How to show things, and which configuration to use."""

    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The configuration, instead of $NATSCHED_CONFIG or ./natsched.toml.",
            rich_help_panel=_WHERE,
        ),
    ] = None
    server: Annotated[
        list[str] | None,
        typer.Option("--server", metavar="URL", help="A NATS server; may be repeated.", rich_help_panel=_WHERE),
    ] = None
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting by its path, such as scheduler.lead=2s; may be repeated.",
            rich_help_panel=_WHERE,
        ),
    ] = None

    def settings(self, **flags: Any) -> Settings:  # noqa: ANN401 - values of settings
        """Load the settings, with these and the given flags on top; `__` in a name leads into a table."""
        named = {name.replace("__", "."): value for name, value in flags.items()} | {"nats.servers": self.server}
        given = {name: value for name, value in named.items() if value}
        return load(self.config, {**self._assigned(), **given})

    def _assigned(self) -> dict[str, str]:
        assigned = {}
        for item in self.assign or ():
            name, equals, value = item.partition("=")
            if not equals or not all(name.split(".")):
                raise ConfigError(f"--set: {item!r} is no setting: write it like scheduler.lead=2s")
            assigned[name] = value
        return assigned
