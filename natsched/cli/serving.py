"""A replica for production: it logs what it does."""

from collections.abc import Callable, Sequence

from natsched.cli.reloading import Reloading
from natsched.cli.stopping import Stopping
from natsched.cli.telling import LogObserver
from natsched.config import Settings
from natsched.config.connection import masked_url
from natsched.daemon.building import build_replica, options_of
from natsched.daemon.replica import Replica
from natsched.daemon.tuning import tune_memory
from natsched.logs import get_logger
from natsched.service.offering import offered
from natsched.targets.plugins import Plugin
from natsched.targets.registry import Registry
from natsched.wiring import open_backend

log = get_logger(__name__)


async def run(
    settings: Settings, registry: Registry, plugins: Sequence[Plugin] = (), load: Callable[[], Settings] | None = None
) -> None:
    """Run a replica with these handlers, of which some are of plugins, until a signal stops it.

    At SIGHUP it changes to what `load` gives, as far as that can be done in passing.
    """
    stopping = Stopping(hears_hangup=True)

    def ready(replica: Replica) -> None:
        _ready(settings, registry)
        if load is not None:
            stopping.on_hangup = Reloading(settings, load, registry, replica).reload

    async with stopping.listening():
        log.info("starting", action="starting", server=_place(settings))
        for plugin in plugins:
            log.info(
                "loaded a plugin",
                action="plugin_loaded",
                plugin=plugin.name,
                package=plugin.package,
                version=plugin.version,
                handlers=plugin.handlers,
                jobs=plugin.jobs,
            )
        if not settings.http.enabled:
            async with open_backend(settings) as opened:
                replica = build_replica(settings, opened, registry, (LogObserver(opened.clock),))
                async with offered(settings, opened):
                    await stopping.run(replica, lambda: ready(replica))
        else:
            from natsched.web.metrics import Metrics  # loaded where it is served alone
            from natsched.web.serving import listening, served

            async with listening(settings) as server, open_backend(settings) as opened:
                metrics = Metrics()
                replica = build_replica(settings, opened, registry, (LogObserver(opened.clock), metrics))
                async with served(settings, opened, replica, metrics, server), offered(settings, opened):
                    await stopping.run(replica, lambda: ready(replica))
    if stopping.before_ready:
        log.info("stopped before it was ready", action="stopped")
    else:
        log.info("stopped", action="stopped")


def _ready(settings: Settings, registry: Registry) -> None:
    tune_memory()
    options = options_of(settings)
    log.info(
        "ready",
        action="ready",
        replica=options.name,
        queues=dict(options.queues),
        server=_place(settings),
        handlers=len(registry.handlers),
        declared=sum(1 for _ in registry.declared()),
    )


def _place(settings: Settings) -> list[str] | str:
    return [masked_url(url) for url in settings.nats.servers] if settings.mode == "nats" else "memory"
