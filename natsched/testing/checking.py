"""The checker: all rules over all that is known."""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from natsched.testing.delaying import delayed
from natsched.testing.doubling import doubled
from natsched.testing.findings import Finding
from natsched.testing.forgetting import forgotten
from natsched.testing.histories import History
from natsched.testing.lives import Life, lives_of
from natsched.testing.losing import lost, miscounted, unrecorded
from natsched.testing.outdating import outdated, unplanned
from natsched.testing.overlapping import overlapping
from natsched.testing.timing import early, late

Rule: TypeAlias = Callable[[Life], Iterator[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    lost,
    unrecorded,
    miscounted,
    forgotten,
    delayed,
    doubled,
    early,
    late,
    overlapping,
    outdated,
    unplanned,
)


def check(history: History, rules: tuple[Rule, ...] = RULES) -> tuple[Finding, ...]:
    """Return every broken promise of the history, in the order of the instants; nothing if all was kept."""
    found = [finding for life in lives_of(history) for rule in rules for finding in rule(life)]
    return tuple(sorted(found, key=lambda finding: (finding.due, finding.job, finding.kind)))
