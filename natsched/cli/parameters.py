"""Commands that take frozen dataclasses: each field of one becomes a parameter of the command line.

Typer reads a command's options from the signature of a function. `command` gives it one in which every
parameter that is a dataclass is replaced by its fields, and puts them together again for the call.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

import typer

from natsched.cli.flags import Flags

F = TypeVar("F", bound=Callable[..., None])

_CONTEXT = "context"


def command(app: typer.Typer, name: str) -> Callable[[F], F]:
    """Register the function as a command; it stays as it is for other callers."""

    def register(function: F) -> F:
        app.command(name)(expanded(function))
        return function

    return register


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with fields in place of dataclasses; flags may stand before the command, too."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hints[name] for name in inspect.signature(function).parameters if is_dataclass(hints[name])
    }
    wants_context = hints.get(_CONTEXT) is typer.Context

    def call(**given: Any) -> None:  # noqa: ANN401 - typer fills them in
        context = given.pop(_CONTEXT)
        if wants_context:
            given[_CONTEXT] = context
        for name, group in groups.items():
            value = group(**{field.name: given.pop(field.name) for field in fields(group)})
            if isinstance(value, Flags) and isinstance(context.obj, Flags):
                value = value.over(context.obj)
            given[name] = value
        function(**given)

    parameters = [_parameter(_CONTEXT, typer.Context)]
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            types = get_type_hints(groups[name], include_extras=True)
            parameters += [_parameter(item.name, types[item.name], _default(item)) for item in fields(groups[name])]
        elif name != _CONTEXT:
            parameters.append(_parameter(name, hints[name], parameter.default))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


def _parameter(name: str, annotation: object, default: object = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(field: Field[Any]) -> object:
    return inspect.Parameter.empty if field.default is MISSING else field.default
