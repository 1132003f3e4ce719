"""Tuning the process that is a replica's own; a program that embeds one decides for itself."""

import gc
from typing import Final

_GENERATIONS: Final = (50_000, 20, 100)


def tune_memory() -> None:
    """Let the garbage collector look at what a run leaves, rarely, and not at what stays for good.

    Thousands of futures live at any time; looking through all of them every 700 allocations costs a busy replica
    a fifth of its runs a second and shows as late starts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GENERATIONS)
