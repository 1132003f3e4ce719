"""From what a job asks for to what is called: a handler of the registry, or one made of a target."""

from collections.abc import Sequence
from typing import assert_never

from natsched.core.jobs import Spec
from natsched.core.targets import Http, NatsRequest, Publish, Shell
from natsched.ports import Messages
from natsched.targets.hooks import Hook
from natsched.targets.http import HttpCaller
from natsched.targets.options import TargetOptions
from natsched.targets.publishing import Publisher
from natsched.targets.registry import Handler, Registry
from natsched.targets.shell import ShellRunner
from natsched.targets.workers import WorkerCaller


class Targets:
    """All that this replica can run."""

    def __init__(self, registry: Registry, options: TargetOptions, messages: Messages) -> None:
        self._registry = registry
        self._options = options
        self._http = HttpCaller()
        self._workers = WorkerCaller(messages)
        self._publisher = Publisher(messages)

    def find(self, spec: Spec) -> Handler | None:
        """Return what the job runs; None if this replica may not or cannot."""
        match spec.target:
            case None:
                return self._registry.find(spec.handler)
            case Shell() as shell:
                return ShellRunner(shell, self._options) if self._options.shell else None
            case Http() as http:
                return self._http.handler(http)
            case NatsRequest() as request:
                return self._workers.handler(request)
            case Publish() as publish:
                return self._publisher.handler(publish)
            case other:
                assert_never(other)

    def hooks_of(self, job: str) -> Sequence[Hook]:
        """Return the hooks around a job's runs, whatever its target; mostly none."""
        return self._registry.hooks_of(job)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()


def missing(spec: Spec) -> str:
    """Say what is missing here where nothing was found."""
    if isinstance(spec.target, Shell):
        return "no commands are run here: `targets.shell.enabled` is false"
    return f"no handler {spec.handler!r} here" if spec.handler else "no default handler here"
