"""Which jobs a page shows: a filter, an order and a place in it, all of which its address holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Literal, TypeAlias

from anyio.lowlevel import checkpoint

from natsched.config.fields import Section
from natsched.web.index import Entry

PAGE: Final = 100
_VALUES: Final = {"trouble": "trouble", "id": "id", "next": "next", "last": "age"}
_SLICE: Final = 2048
"""How many entries are looked at before others go first: a millisecond."""

Shown: TypeAlias = Literal["", "active", "paused", "completed", "running", "failing"]
Order: TypeAlias = Literal["trouble", "id", "next", "last"]
Kind: TypeAlias = Literal["", "cron", "interval", "once", "after"]
Value: TypeAlias = float | str
Key: TypeAlias = tuple[Value, str, Entry]


class Filter(Section):
    """What the address of a page of jobs says; `after` and `before` are places in the order."""

    q: str = ""
    prefix: str = ""
    state: Shown = ""
    queue: str = ""
    last: str = ""
    kind: Kind = ""
    sort: Order = "trouble"
    after: str = ""
    before: str = ""

    def parts(self, **changes: str) -> dict[str, str]:
        """Return what an address has to say for this filter with these changes, from its beginning."""
        said = {**self.model_dump(exclude={"after", "before"}), **changes}
        return {name: value for name, value in said.items() if value and (name, value) != ("sort", "trouble")}


@dataclass(slots=True)
class Found:
    """The jobs of a page, in order, how many are like that, and where the pages before and after begin."""

    entries: list[Entry] = field(default_factory=list)
    number: int = 0
    soonest: Entry | None = None
    before: str = ""
    after: str = ""


async def find(entries: Sequence[Entry], asked: Filter) -> Found:
    """Find a page of jobs; others have their turns meanwhile."""
    found, best = Found(), _Best(asked)
    for start in range(0, len(entries), _SLICE):
        part = entries[start : start + _SLICE]
        soonest = min([entry.next for entry in part])
        if found.soonest is None or soonest < found.soonest.next:
            found.soonest = min(part, key=attrgetter("next"))
        chosen = _chosen(part, asked)
        found.number += len(chosen)
        best.take(chosen)
        await checkpoint()
    best.settle(found)
    return found


class _Best:
    """The first `PAGE` entries beyond a place in an order, or the last ones before it."""

    def __init__(self, asked: Filter) -> None:
        self._value: Callable[[Entry], Value] = attrgetter(_VALUES[asked.sort])
        self._backwards = bool(asked.before)
        self._place = _place(asked.before or asked.after, is_text=asked.sort == "id")
        self._best: list[Key] = []
        self._passed = False

    def take(self, chosen: Sequence[Entry]) -> None:
        keys: list[Key] = [(self._value(entry), entry.id, entry) for entry in chosen]
        if self._place is not None:
            place, number = self._place, len(keys)
            keys = [key for key in keys if (key[:2] < place if self._backwards else key[:2] > place)]
            self._passed = self._passed or len(keys) < number
        if len(self._best) > PAGE:
            bound = self._best[-1]
            keys = [key for key in keys if (key > bound if self._backwards else key < bound)]
        if keys:
            self._best = sorted(self._best + keys, reverse=self._backwards)[: PAGE + 1]

    def settle(self, found: Found) -> None:
        """Say what is on the page, and where those before and after it begin."""
        is_more, page = len(self._best) > PAGE, self._best[:PAGE]
        if self._backwards:
            page.reverse()
        found.entries = [entry for _, _, entry in page]
        if page and (is_more if self._backwards else self._passed):
            found.before = f"{page[0][0]}~{page[0][1]}"
        if page and (self._passed if self._backwards else is_more):
            found.after = f"{page[-1][0]}~{page[-1][1]}"


def _chosen(part: Sequence[Entry], asked: Filter) -> Sequence[Entry]:
    if asked.queue:
        part = [entry for entry in part if entry.queue == asked.queue]
    if asked.kind:
        part = [entry for entry in part if entry.kind == asked.kind]
    if asked.last:
        part = [entry for entry in part if entry.last == asked.last]
    if asked.prefix:
        below = f"{asked.prefix.rstrip('.')}."
        part = [entry for entry in part if entry.id.startswith(below) or entry.id == below[:-1]]
    if asked.q:
        text = asked.q.lower()
        part = [entry for entry in part if text in entry.id.lower()]
    if asked.state == "running":
        return [entry for entry in part if entry.running]
    if asked.state == "failing":
        return [entry for entry in part if entry.failing]
    return [entry for entry in part if entry.state == asked.state] if asked.state else part


def _place(text: str, *, is_text: bool) -> tuple[Value, str] | None:
    value, _, job = text.partition("~")
    try:
        return (value if is_text else float(value), job) if job else None
    except ValueError:
        return None
