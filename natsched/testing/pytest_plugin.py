"""For pytest: a fixture with a scheduler for tests. `-p no:natsched` leaves it out.

Override `natsched_registry` with your own registry, in a test's module or `conftest.py`; the marker
`natsched(start=..., replicas=...)` says when the clock begins and how many replicas there are.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from natsched.targets.registry import Registry
    from natsched.testing.scheduler import Scheduler


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "natsched(start, replicas): when the clock of natsched_scheduler begins, and its replicas"
    )


@pytest.fixture
def natsched_registry() -> "Registry":
    """Return the handlers and jobs of the application; override it."""
    from natsched.targets.registry import Registry

    return Registry()


@pytest.fixture
def natsched_scheduler(request: pytest.FixtureRequest, natsched_registry: "Registry") -> "Iterator[Scheduler]":
    """Give a scheduler in memory with the handlers of `natsched_registry`, whose clock the test moves."""
    from natsched.testing.scheduler import Scheduler

    marker = request.node.get_closest_marker("natsched")
    with Scheduler(natsched_registry, **(marker.kwargs if marker is not None else {})) as scheduler:
        yield scheduler
