"""Load the settings: defaults, under a TOML file, under the environment, under flags."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from natsched.config.problems import Problem, failure, invalid_values, unknown_key
from natsched.config.settings import Settings
from natsched.config.sources import (
    CONFIG_VARIABLE,
    Layer,
    Origins,
    from_environment,
    from_file,
    from_flags,
    merged,
)

DEFAULT_FILE = Path("natsched.toml")
HEADLINE = "The configuration is not valid:"


def load(
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Load the settings, later sources over earlier ones: file, environment, flags.

    The file is the one given, else `$NATSCHED_CONFIG`, else `./natsched.toml` if it is there. Flags are named
    by path (`nats.servers`); those that are None were not given. `environ` is the process's own by default.
    Raise ConfigError with every unknown key and bad value, each with its path and its source.
    """
    variables = os.environ if environ is None else environ
    chosen = chosen_file(file, variables)
    layers = [
        *([from_file(chosen)] if chosen is not None else []),
        from_environment(variables),
        from_flags(flags or {}),
    ]
    return validated(layers)


def chosen_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read, or None if there is none to read."""
    if file is not None:
        return file
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def validated(layers: Sequence[Layer]) -> Settings:
    """Return the settings that the layers add up to, or raise with all that is wrong."""
    origins = Origins(layers=layers)
    values = merged(layers)
    strangers = [key for key in values if key not in Settings.model_fields]
    problems: list[Problem] = []
    for key in strangers:  # by hand: some names are BaseSettings' own keywords
        problems.extend(unknown_key((key,), Settings, origins))
        del values[key]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems.extend(invalid_values(error, Settings, origins))
    else:
        if not problems:
            return settings
    raise failure(HEADLINE, problems) from None
