"""What an examination finds."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters; a `PROBLEM` is something to act on now."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check saw; `cure` is what to do about it, where there is something to do."""

    check: str
    level: Level
    text: str
    cure: str | None = None


def ok(check: str, text: str) -> Finding:
    return Finding(check=check, level=Level.OK, text=text)


def unknown(check: str, text: str, cure: str | None = None) -> Finding:
    return Finding(check=check, level=Level.UNKNOWN, text=text, cure=cure)


def warning(check: str, text: str, cure: str) -> Finding:
    return Finding(check=check, level=Level.WARNING, text=text, cure=cure)


def problem(check: str, text: str, cure: str) -> Finding:
    return Finding(check=check, level=Level.PROBLEM, text=text, cure=cure)
