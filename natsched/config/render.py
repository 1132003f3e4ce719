"""Settings as TOML: what is in force, a first file of one's own, and the commented reference."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from natsched.config.settings import Settings
from natsched.errors import ConfigError

REFERENCE = "natsched.toml"
_CHECKOUT = Path(__file__).resolve().parents[2] / "config"

_HEADER = """\
# natsched's configuration, with every setting that has a value.
# What leaves a setting at its default may be deleted.
# `natsched.config.reference()` has the same with a comment on each, and the optional ones.

"""


def show(settings: Settings) -> str:
    """Return the settings as TOML that `load` reads; secrets are masked, so those must be given again."""
    return tomli_w.dumps(_tables(settings.model_dump(mode="json")))


def reference() -> str:
    """Return the commented reference: every key with its default."""
    return shipped(REFERENCE).read_text(encoding="utf-8")


def init(path: Path, settings: Settings | None = None, *, force: bool = False) -> None:
    """Write a configuration file, of the defaults unless other settings are given; secrets are masked.

    Raise ConfigError if the file is there and `force` is not given, or if it cannot be written.
    """
    text = _HEADER + show(settings or Settings())
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists: choose another name, or overwrite it with --force.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} cannot be written: {reason}.") from None


def shipped(name: str) -> Path:
    """Return a file of `config/`, which a wheel has beside this module and a checkout at its top."""
    packaged = Path(str(files("natsched.config") / name))
    return packaged if packaged.is_file() else _CHECKOUT / name


def _tables(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not set, which TOML cannot say, and tables that are empty then."""
    kept = {name: _value(value) for name, value in values.items()}
    return {
        name: value for name, value in kept.items() if value is not None and not (value == {} and values[name] != {})
    }


def _value(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    if isinstance(value, list):
        return [_value(item) for item in value]
    return _tables(value) if isinstance(value, dict) else value
