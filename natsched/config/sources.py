"""Where values come from: a TOML file, the environment, flags; each layer knows what it said."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from natsched.config.schema import PREFIX, Keys, is_table
from natsched.core.targets import SECRETS
from natsched.errors import ConfigError

CONFIG_VARIABLE = "NATSCHED_CONFIG"
COMMAND_LINE = "command line"

_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Nested values of one origin, and for the environment the variable that set each."""

    values: Mapping[str, Any]
    label: str
    variables: Mapping[Keys, str] = field(default_factory=dict)

    def holds(self, keys: Keys) -> bool:
        """Say whether this layer has anything at `keys`."""
        node: Any = self.values
        for key in keys:
            if not isinstance(node, Mapping) or key not in node:
                return False
            node = node[key]
        return True

    def names(self, keys: Keys) -> tuple[str, ...]:
        """Return what to call the origin of the value at `keys`: the file, or its variables."""
        if not self.variables:
            return (self.label,)
        return tuple(
            name for path, name in self.variables.items() if path[: len(keys)] == keys or keys[: len(path)] == path
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Who said what, over all layers; later layers have the last word."""

    layers: Sequence[Layer]

    def of(self, keys: Keys) -> tuple[str, ...]:
        """Return what said the value at `keys`, or else the nearest table above it that anything said."""
        for depth in range(len(keys), 0, -1):
            for layer in reversed(self.layers):
                if layer.holds(keys[:depth]):
                    return layer.names(keys[:depth])
        return ()

    def all_of(self, keys: Keys) -> tuple[str, ...]:
        """Return everything that said something at `keys`, overruled or not."""
        return tuple(name for layer in self.layers if layer.holds(keys) for name in layer.names(keys))


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; a ConfigError says what is wrong, with line and column."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}.", missing=path) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text, from byte {error.start} on.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} cannot be read: {reason}.") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply.") from None
    except ValueError as error:
        raise ConfigError(_syntax_error(path, text, str(error))) from None


def from_file(path: Path) -> Layer:
    """Return what a TOML file says."""
    try:
        return Layer(values=read_toml(path), label=str(path))
    except ConfigError as error:
        if "missing" not in error.details:
            raise
        raise ConfigError(f"There is no file {path}: `natsched config init {path}` writes one.") from None


def from_environment(environ: Mapping[str, str]) -> Layer:
    """Return what the `NATSCHED_` variables say; `__` leads into a table, and an empty one says nothing.

    Variables are read without regard to case, so what they name is in lower case.
    """
    values: dict[str, Any] = {}
    variables: dict[Keys, str] = {}
    for name in sorted(environ):
        text = environ[name]
        if not name.upper().startswith(PREFIX) or name.upper() == CONFIG_VARIABLE or not text.strip():
            continue
        if name.upper().startswith(SECRETS):
            continue
        keys = tuple(name[len(PREFIX) :].lower().split("__"))
        variables[keys] = name
        _insert(values, keys, _table(text) if is_table(keys) else text)
    return Layer(values=values, label="environment", variables=variables)


def from_flags(flags: Mapping[str, Any]) -> Layer:
    """Return what flags say; a dot leads into a table, and None and an empty list say nothing."""
    values: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None and value != [] and value != ():
            _insert(values, tuple(name.split(".")), value)
    return Layer(values=values, label=COMMAND_LINE)


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """Return the values of all layers, later ones over earlier ones, table by table."""
    result: dict[str, Any] = {}
    for layer in layers:
        pending: list[tuple[dict[str, Any], Mapping[str, Any]]] = [(result, layer.values)]
        while pending:
            target, source = pending.pop()
            for key, value in source.items():
                if isinstance(value, Mapping):
                    below = target.get(key)
                    target[key] = dict(below) if isinstance(below, Mapping) else {}
                    pending.append((target[key], value))
                else:
                    target[key] = value
    return result


def _insert(values: dict[str, Any], keys: Keys, value: object) -> None:
    """Put a value at its place, unless something else than a table is in the way: that is the error."""
    for key in keys[:-1]:
        below = values.setdefault(key, {})
        if not isinstance(below, dict):
            return
        values = below
    if isinstance(value, Mapping) and isinstance(values.get(keys[-1]), dict):
        values[keys[-1]].update(value)
    else:
        values[keys[-1]] = value


def _table(text: str) -> object:
    """Return the JSON object that the text is, or the text, which validation then refuses."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _syntax_error(path: Path, text: str, message: str) -> str:
    position = _POSITION.search(message)
    reason = _POSITION.sub("", message)
    if position is None:
        return f"{path} is no valid TOML: {reason}."
    if position.group(1) is None:
        lines = text.splitlines() or [""]
        return f"{path}, line {len(lines)}, column {len(lines[-1]) + 1}: {reason}."
    return f"{path}, line {position.group(1)}, column {position.group(2)}: {reason}."
