"""What is served: the replica beside, what it stands on, and a client to ask."""

from collections.abc import Callable
from dataclasses import dataclass, field

from natsched.client.client import Client
from natsched.clock import Clock
from natsched.config.http import Http
from natsched.daemon.condition import Condition
from natsched.ports import Backend, Link
from natsched.web.feed import Feed
from natsched.web.index import JobIndex
from natsched.web.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the routes are made of. `condition` tells how the replica is; `link` is None on memory."""

    client: Client
    backend: Backend
    clock: Clock
    condition: Callable[[], Condition]
    feed: Feed
    index: JobIndex
    link: Link | None = None
    http: Http = field(default_factory=Http)
    metrics: Metrics = field(default_factory=Metrics)
