"""Which versions are at work."""

from natsched.cli.flags import Flags
from natsched.cli.output import Output
from natsched.client.versions import versions


def show_version(flags: Flags) -> None:
    """Show the versions of natsched, nats-py, the zone data and Python."""
    found, output = versions(), Output(json=flags.json)
    if flags.json:
        output.value(found)
    else:
        output.details(found.items())
