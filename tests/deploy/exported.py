"""The metrics that a replica tells: their names, and the labels that each has."""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import cast

from natsched.core.backlog import Backlog
from natsched.core.executions import ExecutionStatus
from natsched.daemon.events import HandedBack, HintDropped, NoticeDropped, Repaired, RunEnded, RunLeftOut, Swept
from natsched.web.gauges import Gauges
from natsched.web.metrics import Metrics
from natsched.web.site import Site
from tests.factories import make_record
from tests.web.harness import make_condition


@cache
def exported() -> Mapping[str, frozenset[str]]:
    """Return the labels of each metric of a replica that saw something of everything."""
    metrics = Metrics()
    for event in (
        RunEnded(record=make_record()),
        RunLeftOut(record=make_record(status=ExecutionStatus.MISSED, number=1)),
        HintDropped(job="a", reason="r"),
        HandedBack(job="a", reason="r"),
        Repaired(job="a", reason="r"),
        NoticeDropped(job="a", id="n", reason="r"),
        Swept(jobs=1, repairs=0, seconds=0.1, backlogs={"default": Backlog(number=3, oldest=2.5)}),
    ):
        metrics(event)
    link = SimpleNamespace(is_connected=True, reconnects=0)
    metrics.registry.register(
        Gauges(cast("Site", SimpleNamespace(metrics=metrics, condition=make_condition, link=link)))
    )
    return {
        sample.name: frozenset(sample.labels) for family in metrics.registry.collect() for sample in family.samples
    }
