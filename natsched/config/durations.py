"""Durations as people write them: "2m", "1h30m", "100ms", or a number of seconds."""

import json
import re
from datetime import timedelta
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

CURE = 'write it like "30s", "1h30m" or "100ms", or as a number of seconds'

_MICROSECONDS = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_PART = re.compile(rf"({_NUMBER})(ms|[wdhms])")
_WHOLE = re.compile(rf"(?:{_NUMBER}(?:ms|[wdhms]))+|{_NUMBER}")
_SHOWN = 40


def parse_duration(value: object) -> timedelta:
    """Return what `value` says: a timedelta, text, or a number of seconds.

    Numbers as text are seconds too, as the environment knows only text. Finer than a microsecond is rounded.
    Raise ValueError, which names the cure, for anything else and for what is negative or beyond a timedelta.
    """
    try:
        microseconds = _microseconds(value)
        duration = value if isinstance(value, timedelta) else timedelta(microseconds=microseconds)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{_shown(value)} is not a duration: {CURE}") from error
    if duration < timedelta(0):
        raise ValueError(f"{_shown(value)} is negative: {CURE}")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as exactly this."""
    left = duration // timedelta(microseconds=1)
    if left == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, _MICROSECONDS[unit])
        if number:
            parts.append(f"{number}{unit}")
    if left:
        parts.append(f"{left / 1000:.3f}".rstrip("0").rstrip(".") + "ms")
    return "".join(parts)


def lasting(minimum: str, maximum: str, *, whole_seconds: bool = False) -> AfterValidator:
    """Return a validator that keeps a duration within bounds, both included."""
    low, high = parse_duration(minimum), parse_duration(maximum)

    def check(duration: timedelta) -> timedelta:
        if not low <= duration <= high:
            raise ValueError(f"{format_duration(duration)} is out of range: take {minimum} to {maximum}")
        if whole_seconds and duration.microseconds:
            raise ValueError(
                f"{format_duration(duration)} is not whole seconds, as NATS expires keys: "
                f"take {format_duration(timedelta(seconds=int(duration.total_seconds()) + 1))}"
            )
        return duration

    return AfterValidator(check)


def _microseconds(value: object) -> int:
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, bool):
        raise ValueError("a boolean")
    if isinstance(value, int | float):
        return round(Fraction(value) * 1_000_000)
    if not isinstance(value, str) or not _WHOLE.fullmatch(value.strip()):
        raise ValueError("not text of the form")
    parts = _PART.findall(value.strip()) or [(value.strip(), "s")]
    return round(sum(Fraction(number) * _MICROSECONDS[unit] for number, unit in parts))


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    if isinstance(value, int) and value.bit_length() > _SHOWN:
        return "a number that large"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value).lower()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 4] + '..."'


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": f"^\\s*(?:{_WHOLE.pattern})\\s*$"},
            ],
            "description": f"A duration: {CURE}.",
        },
        mode="validation",
    ),
]
