"""Changing a replica's configuration while it runs: what can be changed is, what needs a restart is named."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import anyio

from natsched.cli.logs import configure, level_of
from natsched.config import Settings
from natsched.daemon.files import load_files
from natsched.daemon.replica import Replica
from natsched.errors import NatschedError
from natsched.logs import get_logger
from natsched.targets.registry import Registry

LIVE: Final = frozenset({"logs", "queues", "jobs"})
"""The tables whose settings take effect at once."""

log = get_logger(__name__)


class Reloading:
    """Reads the configuration again; one that is wrong changes nothing."""

    def __init__(
        self, settings: Settings, load: Callable[[], Settings], registry: Registry, replica: Replica
    ) -> None:
        self._settings = settings
        self._load = load
        self._registry = registry
        self._replica = replica
        self._one_at_a_time = anyio.Lock()

    async def reload(self) -> None:
        """Change to what there is to read now, and log each setting that differs."""
        async with self._one_at_a_time:
            try:
                wanted = self._load()
                files = load_files(wanted.jobs.files, self._registry)
                await self._replica.apply(files, prune=wanted.jobs.prune)
            except NatschedError as error:
                why = str(error)
                log.error("the old configuration stays: the new one is wrong", action="reload_failed", reason=why)
                return
            self._replica.serve({name: queue.concurrency for name, queue in wanted.queues.items()})
            logs = self._settings.logs, wanted.logs
            configure(min(logs, key=level_of))  # so that what changes is told, whichever of both would
            self._tell(wanted)
            configure(wanted.logs)
            self._settings = self._settings.model_copy(update={name: getattr(wanted, name) for name in LIVE})

    def _tell(self, wanted: Settings) -> None:
        differences = list(_differences(self._settings, wanted))
        for path, before, after in differences:
            if path.partition(".")[0] in LIVE:
                log.info("setting changed", action="setting_changed", setting=path, before=before, after=after)
            else:
                log.warning("setting needs a restart to change", action="restart_needed", setting=path)
        log.info("read the configuration again", action="reloaded", different=len(differences))


def _differences(before: Settings, after: Settings) -> Iterator[tuple[str, object, object]]:
    """Yield the path of each setting that differs, with what is shown of both: no secrets."""
    shown = _flat(before.model_dump(mode="json")), _flat(after.model_dump(mode="json"))
    values = _flat(before.model_dump()), _flat(after.model_dump())
    for path in sorted(values[0].keys() | values[1].keys()):
        if values[0].get(path) != values[1].get(path):
            yield path, shown[0].get(path), shown[1].get(path)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{path}.")
        else:
            found[path] = value
    return found
