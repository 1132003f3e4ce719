"""Which jobs a page shows: a filter, an order and a place in it, all of which its address holds."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from typing import Any, Final, Literal, TypeAlias

from anyio.lowlevel import checkpoint

from natsched.config.fields import Section
from natsched.web.index import Entry

PAGE: Final = 100
_SLICE: Final = 2048
"""How many entries are looked at before others go first: a millisecond."""

Shown: TypeAlias = Literal["", "active", "paused", "completed", "running", "failing"]
Order: TypeAlias = Literal["trouble", "id", "next", "last"]
Kind: TypeAlias = Literal["", "cron", "interval", "once", "after"]
Key: TypeAlias = tuple[float, str]


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
    """The jobs of a page, in order, and what there is besides. `states` and `queues` count those in all."""

    entries: list[Entry] = field(default_factory=list)
    number: int = 0
    total: int = 0
    states: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)
    soonest: Entry | None = None
    before: str = ""
    after: str = ""


async def find(entries: Sequence[Entry], asked: Filter, now: float) -> Found:
    """Find a page of jobs; others have their turns meanwhile."""
    found = Found(total=len(entries))
    key = _KEYS[asked.sort]
    place = _place(asked.before or asked.after)
    backwards = bool(asked.before)
    best: list[tuple[Key, Entry]] = []
    passed = 0
    for start in range(0, len(entries), _SLICE):
        part = entries[start : start + _SLICE]
        _count(found, part, now)
        chosen = _chosen(part, asked, now)
        found.number += len(chosen)
        keyed = [(key(entry), entry) for entry in chosen]
        if place is not None:
            beyond = [one for one in keyed if (one[0] < place if backwards else one[0] > place)]
            passed += len(keyed) - len(beyond)
            keyed = beyond
        pick = nlargest if backwards else nsmallest
        best = pick(PAGE + 1, best + keyed, key=_first)
        await checkpoint()
    _settle(found, best, backwards=backwards, passed=passed)
    return found


def _settle(found: Found, best: list[tuple[Key, Entry]], *, backwards: bool, passed: int) -> None:
    """Say what is on the page, and where those before and after it begin."""
    is_more = len(best) > PAGE
    page = best[:PAGE]
    if backwards:
        page.reverse()
    found.entries = [entry for _, entry in page]
    if page and (is_more if backwards else passed):
        found.before = _text(page[0][0])
    if page and (passed if backwards else is_more):
        found.after = _text(page[-1][0])


def _count(found: Found, part: Collection[Entry], now: float) -> None:
    found.states.update([entry.state(now) for entry in part])
    found.states["running"] += len([entry for entry in part if entry.running])
    found.states["failing"] += len([entry for entry in part if entry.failing])
    found.queues.update([entry.queue for entry in part])
    soonest = min(part, key=_next)
    if found.soonest is None or soonest.next < found.soonest.next:
        found.soonest = soonest


def _chosen(part: Sequence[Entry], asked: Filter, now: float) -> Sequence[Entry]:
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
    return [entry for entry in part if entry.state(now) == asked.state] if asked.state else part


def _by_trouble(entry: Entry) -> Key:
    """What failed comes first, then what runs, what is to run by its next run, and what rests."""
    if entry.completed:
        return (5e10, entry.id)
    if entry.failing:
        return (0.0, entry.id)
    if entry.running:
        return (1e10, entry.id)
    if entry.paused_until > 0:
        return (4e10, entry.id)
    return (2e10 + min(entry.next, 1e10), entry.id)


def _by_next(entry: Entry) -> Key:
    return (entry.next, entry.id)


def _next(entry: Entry) -> float:
    return entry.next


def _first(pair: tuple[Key, Any]) -> Key:
    return pair[0]


_KEYS: Final[dict[Order, Callable[[Entry], Key]]] = {
    "trouble": _by_trouble,
    "id": lambda entry: (0.0, entry.id),
    "next": _by_next,
    "last": lambda entry: (-entry.ended, entry.id),
}


def _text(key: Key) -> str:
    return f"{key[0]!r}~{key[1]}"


def _place(text: str) -> Key | None:
    number, _, job = text.partition("~")
    try:
        return (float(number), job) if job else None
    except ValueError:
        return None
