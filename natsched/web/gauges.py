"""How a replica is at the moment it is asked, for Prometheus; and the page that it asks for."""

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from natsched.daemon.condition import Condition
from natsched.daemon.events import Swept
from natsched.web.site import Site


def routes(site: Site) -> list[Route]:
    """Return the route of the metrics."""
    registry = site.metrics.registry
    registry.register(Gauges(site))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", metrics, methods=["GET"])]


class Gauges(Collector):
    """Reads the replica's condition, and of its last sweep what waits in the queues, if it is the primary one."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> list[Metric]:
        """Name nothing: to be registered it need not be asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        condition = self._site.condition()
        yield from _of_replica(condition)
        yield from _of_places(condition)
        link = self._site.link
        if link is not None:
            yield GaugeMetricFamily("natsched_nats_connected", "Whether NATS is connected.", float(link.is_connected))
            yield CounterMetricFamily("natsched_nats_reconnects", "Connections made anew.", link.reconnects)
        if condition.is_primary and self._site.metrics.swept is not None:
            yield from _of_queues(self._site.metrics.swept)


def _of_replica(condition: Condition) -> Iterator[Metric]:
    for name, text, value in (
        ("serving", "Whether it takes deliveries.", condition.is_serving and not condition.is_stopping),
        ("lease_held", "Whether it holds its lease.", condition.is_leased),
        ("primary", "Whether it is the replica that reconciles.", condition.is_primary),
        ("held", "Deliveries in its hands, waiting for their instants or running.", condition.held),
        ("clock_offset_seconds", "How far NATS's clock is ahead.", condition.offset.total_seconds()),
    ):
        yield GaugeMetricFamily(f"natsched_{name}", text, float(value))


def _of_places(condition: Condition) -> Iterator[Metric]:
    running = GaugeMetricFamily("natsched_running", "Executions that run here.", labels=["queue"])
    waiting = GaugeMetricFamily("natsched_waiting", "Executions that wait here for a place.", labels=["queue"])
    number = GaugeMetricFamily("natsched_concurrency", "How many may run here at once.", labels=["queue"])
    for queue, places in condition.places.items():
        running.add_metric([queue], places.taken)
        waiting.add_metric([queue], places.waiting)
        number.add_metric([queue], places.number)
    yield from (running, waiting, number)


def _of_queues(swept: Swept) -> Iterator[Metric]:
    """Yield what is the same for all replicas, so that one of them tells it."""
    depth = GaugeMetricFamily("natsched_queue_depth", "Deliveries not yet acknowledged.", labels=["queue"])
    oldest = GaugeMetricFamily("natsched_queue_oldest_seconds", "Age of the oldest delivery.", labels=["queue"])
    for queue, backlog in swept.backlogs.items():
        depth.add_metric([queue], backlog.number)
        oldest.add_metric([queue], backlog.oldest)
    yield from (depth, oldest, GaugeMetricFamily("natsched_jobs", "Jobs at the last sweep.", swept.jobs))
