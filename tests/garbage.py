"""What others may write: any bytes, any JSON, and good documents with damage in one place."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

Place: TypeAlias = tuple[str | int, ...]

_INSTANTS: Final = (
    "2026-01-01T12:00:00", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00+05:30", "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip
_TEXTS: Final = (
    "", " ", "a b", ".", "..", "a.", "a.b", "*", ">", "a.>", "$JS.API", "\0", "\r\n", "\ud800", "é\u202e", "{0}%s",
    "x" * 300, "-1", "NaN", "lease", "lease.a.1", "ok", "all", "skip", "replace", "0 0 30 2 *", *_INSTANTS,
)  # fmt: skip
_NUMBERS: Final = (
    0, 1, -1, 2, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, -(10**30), 1e-9, 0.5, -0.5, 1e18, 1e308,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_NESTED: Final = (90, 110, 260, 1100)
_instants: Final = st.sampled_from(_INSTANTS)
numbers: Final = st.sampled_from(_NUMBERS)
texts: Final = st.sampled_from(_TEXTS) | st.text(max_size=8)
_leaves: Final = st.none() | st.booleans() | numbers | texts


def _nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


values: Final = _leaves | st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
) | st.sampled_from(_NESTED).map(_nest)  # fmt: skip
"""What JSON can hold, in the way that Python writes it: with NaN, halves of surrogates and numbers of any size."""


def dumped(value: object) -> bytes:
    """Write as JSON; a half of a surrogate becomes an escape."""
    return json.dumps(value).encode()


def spoiled(data: bytes) -> st.SearchStrategy[bytes]:
    """Spoil bytes: cut, with a byte that is not UTF-8, with something behind them, too long, or not them at all."""
    places = st.integers(0, len(data))
    return st.one_of(
        places.map(lambda at: data[:at]),
        places.map(lambda at: data[:at] + b"\xff" + data[at + 1 :]),
        places.map(lambda at: data[:at] + b"\0" + data[at:]),
        st.sampled_from((b"", b"{}", b"[]", b"null", b"1", b"\xef\xbb\xbf" + data, data + data, b"[" * 100_000)),
        st.sampled_from((b'{"v":1,' * 3000, b'"' + b"x" * 500_000 + b'"', b"1" * 6000)),
        st.binary(max_size=40),
        values.map(dumped),
    )


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Damage one place of a JSON document: gone, of another kind, under another name, or besides what is there."""
    document = json.loads(data)
    *way, key = draw(st.sampled_from(sorted(_places(document), key=str)))
    inner = document
    for step in way:
        inner = inner[step]
    match draw(st.sampled_from(("other", "other", "other", "gone", "more", "renamed"))):
        case "gone":
            del inner[key]
        case "more" if isinstance(inner, dict):
            inner[draw(texts)] = draw(values)
        case "renamed" if isinstance(inner, dict):
            inner[draw(texts)] = inner.pop(key)
        case _:
            inner[key] = draw(values | _like(inner[key]) | _like(inner[key]))
    return dumped(document)


def _like(value: object) -> st.SearchStrategy[Any]:
    """Draw what may well pass for the same kind of value."""
    match value:
        case bool() | None:
            return st.booleans() | values
        case int() | float():
            return numbers
        case str() if value[4:5] == "-" and value[10:11] == "T":
            return _instants
        case str():
            return texts
        case _:
            return st.sampled_from(({}, [], [{}], {"a": 1}, None))


@st.composite
def garbage(draw: st.DrawFn, *documents: bytes) -> bytes:
    """Draw one of the documents, most often damaged in one place, seldom spoiled altogether."""
    data = draw(st.sampled_from(documents))
    return draw(spoiled(data) if draw(st.integers(0, 5)) == 5 else damaged(data))


def _places(value: Any, way: Place = ()) -> set[Place]:
    """Return the way to each value within a document."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    inner = {place for key, part in items for place in _places(part, (*way, key))}
    return inner | ({way} if way else set())


def examples(number: int, *, shrink: bool = True) -> settings:
    """Return how many examples to draw: as many times that number as `NATSCHED_EXAMPLES` says.

    Without `shrink` one that fails is shown as it was drawn: for examples that take half a second each.
    """
    left_out = {Phase.explain} if shrink else {Phase.explain, Phase.shrink}
    return settings(
        max_examples=number * int(os.environ.get("NATSCHED_EXAMPLES", "1")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if phase not in left_out],
    )


class Told(logging.Handler):
    """What natsched logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def actions(self) -> set[str]:
        return {getattr(record, "fields", {}).get("action", "") for record in self.records}

    @property
    def unforeseen(self) -> list[str]:
        """What was told with a traceback, or kept a sweep from its end."""
        return [
            f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}"
            for record in self.records
            if record.exc_info or getattr(record, "fields", {}).get("action") == "sweep_failed"
        ]


@contextmanager
def listening() -> Iterator[Told]:
    logger, told = logging.getLogger("natsched"), Told()
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(told)
    try:
        yield told
    finally:
        logger.removeHandler(told)
        logger.level = level
