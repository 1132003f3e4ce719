"""How much is asked for: few examples in plain pytest, more by the environment."""

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

EXAMPLES_VARIABLE: Final = "CONFORMANCE_EXAMPLES"
_FEW: Final = 25
_PER_REST: Final = 6  # an example that rests takes seconds


def drawing(share: float = 1, *, rests: bool = False) -> settings:
    """Return how to draw: where nothing is asked for only a share of a few, and what fails is told as it is.

    It is kept, so that asking for more begins with it, and makes it as small as it goes.
    """
    asked = int(os.environ.get(EXAMPLES_VARIABLE) or 0)
    number = asked or max(int(_FEW * share), 3)
    phases = (Phase.reuse, Phase.generate, Phase.shrink) if asked else (Phase.reuse, Phase.generate)
    return settings(
        max_examples=max(number // _PER_REST, 2) if rests else number,  # the first that is drawn is an empty one
        deadline=None,
        derandomize=not asked,  # a plain run draws the same each time
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
