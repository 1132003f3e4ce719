"""`natsched serve`: one replica, until it is told to stop."""

from typing import Annotated

import typer

from natsched.cli.flags import Where
from natsched.config import Settings


def serve(
    where: Where,
    app: Annotated[
        str | None,
        typer.Option("--app", metavar="PACKAGE.MODULE:REGISTRY", help="The registry with your handlers."),
    ] = None,
) -> None:
    """Run a replica: claim what is due and run it with the handlers of --app and of plugins.

    SIGHUP has it read the configuration again: queues, concurrency, logs and files of jobs change at once.
    SIGTERM or Ctrl-C lets running executions end (replica.shutdown_grace), a second one ends them at once.
    """
    from natsched.cli.apps import load_registry
    from natsched.cli.logs import configure
    from natsched.cli.serving import run
    from natsched.cli.stopping import run_loop
    from natsched.daemon.files import load_files

    over = {"logs__level": "debug" if where.debug else None, "logs__format": "json" if where.json else None}

    def load() -> Settings:
        return where.settings(app=app, **over)

    settings = load()
    configure(settings.logs)
    registry, plugins = load_registry(settings)
    load_files(settings.jobs.files, registry)  # so that what is wrong with them is told before anything is connected
    run_loop(lambda: run(settings, registry, plugins, load))
