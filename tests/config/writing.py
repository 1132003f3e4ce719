"""Files for the tests of the configuration, and what the loader says of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from natsched.config import Settings, load
from natsched.errors import ConfigError


def toml(folder: Path, text: str, name: str = "natsched.toml") -> Path:
    """Write a TOML file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str = "", flags: Mapping[str, Any] | None = None, **environ: str) -> Settings:
    """Load settings from the text as a file, flags and an environment of nothing else."""
    return load(toml(folder, text), flags, environ)


def refusal(folder: Path, text: str = "", flags: Mapping[str, Any] | None = None, **environ: str) -> str:
    """Return the message with which the loader refuses this."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, flags, **environ)
    return caught.value.message
