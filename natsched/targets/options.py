"""What a replica may run besides handlers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """`shell`: whether commands are run. `environment`: the variables of its own that a replica lets them see."""

    shell: bool = False
    environment: tuple[str, ...] = ("PATH", "HOME", "LANG", "TZ")
