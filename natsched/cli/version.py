"""Which versions are at work."""

import platform
from importlib.metadata import PackageNotFoundError, version

from natsched.cli.flags import Flags
from natsched.cli.output import Output
from natsched.core.zones import tzdata_version


def show_version(flags: Flags) -> None:
    """Show the versions of natsched, nats-py, the zone data and Python."""
    found = {
        "natsched": _version("natsched"),
        "nats-py": _version("nats-py"),
        "tzdata": tzdata_version(),
        "python": platform.python_version(),
    }
    output = Output(json=flags.json)
    if flags.json:
        output.value(found)
    else:
        output.details(found.items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
