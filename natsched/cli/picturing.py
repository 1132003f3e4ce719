"""How `natsched top` looks."""

from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import quantiles

from rich import box
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from natsched.cli.output import STYLES, clean
from natsched.cli.top import Picture, counts
from natsched.client.details import why
from natsched.client.measures import distance, instant, span, time_of_day
from natsched.core.executions import Record

_LATEST = 12
_ELASTIC = ("EXECUTION", "SAID", "WHY")
"""Columns that give way first where the terminal is narrow."""


def drawn(picture: Picture, width: int) -> RenderableType:
    """Return the whole screen."""
    states = ", ".join(f"{number} {name}" for name, number in sorted(picture.states.items()))
    title = Text(f"natsched  {instant(picture.now.replace(microsecond=0))}", "bold")
    number = "counting the" if picture.jobs is None else f"{picture.jobs}"
    jobs = Text(f"{number} jobs{f' ({states})' if states else ''}")
    recent = picture.last_minute()
    return Group(
        title,
        jobs,
        *_titled("replicas", _replicas(picture)),
        *_titled("delivered and not yet ended", _queues(picture)),
        *_titled("running", _running(picture)),
        *_titled("the last minute", _minute(recent)),
        _latest(recent, width),
    )


def _titled(title: str, content: RenderableType) -> Sequence[RenderableType]:
    return (Rule(Text(title, "bold"), align="left", style="dim"), content)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=column not in _ELASTIC)
    return table


def _cells(values: Iterable[str]) -> Iterable[Text]:
    return (Text(clean(value), STYLES.get(value, ""), no_wrap=True, overflow="ellipsis") for value in values)


def _replicas(picture: Picture) -> RenderableType:
    if not picture.replicas:
        return Text("none is up: nothing runs", "bold red")
    table = _table("REPLICA", "RUNNING", "RECONCILES", "VERSION")
    for one in picture.replicas:
        places = (f"{queue} {one.running.get(queue, 0)}/{number}" for queue, number in sorted(one.queues.items()))
        table.add_row(*_cells((one.name, "  ".join(places), "yes" if one.is_primary else "", one.natsched or "-")))
    return table


def _queues(picture: Picture) -> RenderableType:
    if not picture.backlog:
        return Text("nothing", "dim")
    table = _table("QUEUE", "NUMBER", "OLDEST DUE")
    for queue, one in sorted(picture.backlog.items()):
        table.add_row(*_cells((queue, str(one.number), span(max(one.oldest, 0.0)))))
    return table


def _running(picture: Picture) -> RenderableType:
    if not picture.running:
        return Text("nothing", "dim")
    table = _table("JOB", "EXECUTION", "DUE", "ATTEMPT", "REPLICA", "SAID")
    for record in picture.running:
        said = record.check_in.text if record.check_in else record.reason or ""
        table.add_row(
            *_cells(
                (
                    record.job,
                    record.execution,
                    distance(record.due, picture.now),
                    str(record.attempt),
                    record.replica or "-",
                    said,
                )
            )
        )
    return table


def _minute(recent: Sequence[Record]) -> RenderableType:
    said = counts(recent)
    lags = [record.lag for record in recent if record.lag is not None]
    text = Text(f"{said['runs']} runs, ")
    text.append(f"{said['failed']} failed", "red" if said["failed"] else "")
    text.append(", ")
    text.append(f"{said['left_out']} left out", "yellow" if said["left_out"] else "")
    if len(lags) > 1:
        cuts = quantiles(lags, n=100, method="inclusive")
        text.append(f"; lag p50 {span(cuts[49])}, p99 {span(cuts[98])}")
    return text


def _latest(recent: Sequence[Record], width: int) -> RenderableType:
    if not recent:
        return Text("")
    table = _table("ENDED", "JOB", "STATUS", "DURATION", "LAG", "WHY")
    for record in islice(reversed(recent), _LATEST):
        at = time_of_day(record.ended_at or record.due)
        cells = (at, record.job, record.status.value, span(record.duration), span(record.lag), why(record)[:width])
        table.add_row(*_cells(cells))
    return table
