"""`natsched plugins`."""

from natsched.cli.flags import Where
from natsched.cli.output import Output
from natsched.targets.plugins import find_plugins


def show_plugins(where: Where) -> None:
    """Show what a replica with these settings would load."""
    settings = where.settings().plugins
    found = find_plugins(settings.only) if settings.enabled else ()
    output = Output(json=where.json)
    if output.json:
        output.value(
            [
                {
                    "package": plugin.package,
                    "version": plugin.version,
                    "plugin": plugin.name,
                    "handlers": plugin.handlers,
                    "jobs": plugin.jobs,
                }
                for plugin in found
            ]
        )
    elif found:
        rows = [
            (one.package, one.version, one.name, str(len(one.handlers)), ", ".join(one.jobs) or "-") for one in found
        ]
        output.table(("PACKAGE", "VERSION", "PLUGIN", "HANDLERS", "JOBS"), rows)
    else:
        output.note("There are no plugins." if settings.enabled else "plugins.enabled is false.")
