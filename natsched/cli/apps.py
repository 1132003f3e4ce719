"""Import the application's registry, and say clearly why it cannot be."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from natsched.config import Settings
from natsched.errors import ConfigError
from natsched.targets.plugins import Plugin, find_plugins, joined
from natsched.targets.registry import Registry

_NEAR: Final = 0.6
_FRAMES: Final = 5


def load_registry(settings: Settings, samples: Registry | None = None) -> tuple[Registry, Sequence[Plugin]]:
    """Return the registry of the application, or else of `samples`, and the plugins together, and the plugins."""
    plugins = find_plugins(settings.plugins.only) if settings.plugins.enabled else ()
    if settings.app is None and samples is not None:
        return joined(samples, plugins, source="natsched dev"), plugins
    app = load_app(settings.app) if settings.app is not None or not plugins else None
    return joined(app, plugins), plugins


def load_app(app: str | None) -> Registry:
    """Import `package.module:registry`, with the working folder on the path, and return the registry."""
    if app is None:
        raise ConfigError(
            "Nothing says where the handlers are: give --app package.module:registry, or set app in natsched.toml."
        )
    name, _, path = app.partition(":")
    value: object = _module(name)
    for attribute in path.split("."):
        if not hasattr(value, attribute):
            raise ConfigError(f"--app {app}: {_missing(name, value, attribute)}", app=app)
        value = getattr(value, attribute)
    if not isinstance(value, Registry):
        raise ConfigError(f"--app {app}: it is {_kind(value)}, not a natsched.Registry{_hint(name)}.", app=app)
    return value


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        raise ConfigError(
            f"--app {name}: there is no module {error.name}, neither in {here} nor among what is installed.", app=name
        ) from None
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> ConfigError:
    """Tell what went wrong in the application's own code, and where."""
    if isinstance(error, SyntaxError):
        lines = traceback.format_exception_only(error)
    else:
        frames = traceback.extract_tb(_own(error.__traceback__))[-_FRAMES:]
        lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
    text = "".join(lines).rstrip().replace("\n", "\n  ")
    return ConfigError(f"--app {name}: the module failed while it was imported:\n  {text.lstrip()}", app=name)


def _own(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is neither ours nor the import system's."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            return trace
        trace = trace.tb_next
    return None


def _missing(name: str, value: object, attribute: str) -> str:
    what = f"the module {name}" if isinstance(value, ModuleType) else _kind(value)
    near = get_close_matches(attribute, dir(value), n=1, cutoff=_NEAR)
    if near:
        return f"{what} has no {attribute}: did you mean {near[0]}?"
    return f"{what} has no {attribute}{_hint(name)}."


def _hint(name: str) -> str:
    """Name the registries that the module does have."""
    module = sys.modules.get(name)
    found = [key for key, value in vars(module).items() if isinstance(value, Registry)] if module else []
    return f": did you mean {name}:{found[0]}?" if found else "; it is made by `registry = natsched.Registry()`"


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    return f"of type {type(value).__qualname__}"
