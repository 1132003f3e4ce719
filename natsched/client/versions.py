"""Which versions are at work."""

import platform
from importlib.metadata import PackageNotFoundError, version

from natsched.core.zones import tzdata_version


def versions() -> dict[str, str]:
    """Return the versions of natsched, nats-py, the zone data and Python."""
    return {
        "natsched": _version("natsched"),
        "nats-py": _version("nats-py"),
        "tzdata": tzdata_version(),
        "python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
