"""How much is asked for: few examples in plain pytest, more by the environment."""

import os
from typing import Final

EXAMPLES_VARIABLE: Final = "CONFORMANCE_EXAMPLES"
_FEW: Final = 25
_PER_REST: Final = 6  # an example that rests takes seconds


def examples(share: float = 1) -> int:
    """Return how many examples are to be drawn of each kind, where only a share of them is drawn by default."""
    asked = int(os.environ.get(EXAMPLES_VARIABLE) or 0)
    return asked or max(int(_FEW * share), 1)


def examples_with_rests(share: float = 1) -> int:
    """Return how many are to be drawn of those that take seconds."""
    return max(examples(share) // _PER_REST, 2)  # the first that is drawn is an empty one
