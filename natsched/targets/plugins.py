"""Plugins: installed packages that bring handlers and jobs, each by an entry point of the group `natsched.jobs`.

An entry point is a `Registry`, or a function that takes none and returns one, or that takes one and fills it.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from natsched.errors import ConfigError
from natsched.targets.registry import Registry

GROUP: Final = "natsched.jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What one entry point brings, and the package it is of."""

    name: str
    package: str
    version: str
    registry: Registry

    def __str__(self) -> str:
        return f"{self.package} {self.version} ({self.name})"

    @property
    def handlers(self) -> Sequence[str]:
        return sorted(self.registry.handlers)

    @property
    def jobs(self) -> Sequence[str]:
        return sorted(job.id for job in self.registry.declared())


def find_plugins(only: Iterable[str] = ()) -> Sequence[Plugin]:
    """Load the plugins that are installed, or of these only those of such a name, by package and entry point.

    Raise ConfigError if one cannot be loaded, or none is called as `only` says.
    """
    wanted = frozenset(only)
    found = sorted(entry_points(group=GROUP), key=lambda point: (_package(point), point.name))
    if missing := wanted - {name for point in found for name in (_package(point), point.name)}:
        known = ", ".join(_package(point) for point in found) or "none at all"
        raise ConfigError(f"plugins.only: no plugin {sorted(missing)[0]!r} is installed; there is {known}.")
    return [_plugin(point) for point in found if not wanted or wanted & {_package(point), point.name}]


def joined(app: Registry | None, plugins: Sequence[Plugin], *, source: str = "--app") -> Registry:
    """Return one registry of the application's and all plugins'; DuplicateHandler names both who have a name."""
    if app is not None and not plugins:
        return app
    own = [(source, app)] if app is not None else []
    return Registry.joined([*own, *((str(plugin), plugin.registry) for plugin in plugins)])


def _plugin(point: EntryPoint) -> Plugin:
    package = _package(point)
    try:
        registry = _registry(point.load())
    except Exception as error:
        raise ConfigError(
            f"The plugin {point.name} of {package} ({point.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}. Repair or remove the package, or name those to load in plugins.only.",
            plugin=point.name,
        ) from error
    version = point.dist.version if point.dist is not None else ""
    return Plugin(name=point.name, package=package, version=version, registry=registry)


def _registry(value: Any) -> Registry:  # noqa: ANN401 - whatever the entry point names
    if isinstance(value, Registry):
        return value
    if not callable(value):
        raise TypeError(f"it is of type {type(value).__name__}, neither a natsched.Registry nor a function")
    made = _called(value)
    if not isinstance(made, Registry):
        raise TypeError(f"it returned a {type(made).__name__}, not a natsched.Registry")
    return made


def _called(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - whatever it returns
    """Call what makes a registry, or fills the one that it is given."""
    needed = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    if not needed:
        return function()
    registry = Registry()
    returned = function(registry)
    return registry if returned is None else returned


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"
