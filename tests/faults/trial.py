"""One trial: a site, jobs, a client that keeps changing them, troubles from a seed, and then the checker."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio

from natsched import Client, Record
from natsched.testing import Bounds, Finding, History, check, told_by
from tests.e2e.conftest import connected
from tests.faults.changing import Changer
from tests.faults.jobs import Jobs
from tests.faults.journal import ends_of, lines, starts_of
from tests.faults.machine import faketime, small_disks, wrong_clock
from tests.faults.notes import Notes, now
from tests.faults.site import Site, site
from tests.faults.troubles import Kind, Trouble, Troubles, draw

REPLICAS: Final = ("a", "b", "c")
SKEWED: Final = "c"
BOUNDS: Final = Bounds(
    late=timedelta(seconds=2),
    early=timedelta(milliseconds=50),
    recovery=timedelta(seconds=10),
    claim=timedelta(milliseconds=250),
)
"""What holds on a machine that has time for it.

A replica knows the server's time only as exactly as half of its shortest round trip, here through another process.
"""

IN_CLUSTERS: Final = replace(BOUNDS, recovery=timedelta(seconds=15))
HOPS: Final = 8
"""How often one process waits for another from the reading of a document to its claim; each may be held up."""

_ALL: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run.

    `kinds`: the troubles to draw from, where they are possible; `calm`: seconds after some in which none comes;
    `older`: a tree to upgrade from.
    """

    seed: int
    seconds: float
    servers: int = 1
    jobs: int = 250
    kinds: Sequence[Kind] = tuple(Kind)
    calm: float = 12.0
    older: Path | None = None

    @property
    def bounds(self) -> Bounds:
        return BOUNDS if self.servers == 1 else IN_CLUSTERS


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All that came of it."""

    options: Options
    plan: Sequence[Trouble]
    not_injected: Mapping[Kind, str]
    notes: Notes
    changer: Changer
    began: datetime
    history: History
    records: Sequence[Record]
    findings: Sequence[Finding] = ()
    wrong: list[str] = field(default_factory=list)
    older: set[str] = field(default_factory=set)

    @property
    def is_good(self) -> bool:
        return not self.findings and not self.wrong


async def trial(options: Options, folder: Path) -> Outcome:
    """Run it and check what came of it."""
    random = Random(options.seed)
    with _disks(folder, options) as why_no_disk:
        impossible = _impossible(options, why_no_disk)
        kinds = [kind for kind in options.kinds if kind not in impossible]
        plan = draw(random, kinds, seconds=options.seconds, calm=options.calm)
        async with _running(folder, options) as (up, client, troubles):
            changer = Changer(client, Jobs(Random(options.seed), up.journals), Random(options.seed), options.jobs)
            began = now()
            await _befall(changer, troubles, plan, options.seconds)
            await anyio.sleep((options.bounds.recovery + options.bounds.late).total_seconds() + 1)
            until = now()
            records = await client.executions(limit=_ALL)
            wrong = [*changer.wrong, *troubles.notes.wrong, *up.gone, *up.ended()]
            wrong += await _unheard(client, changer, records, up, until - options.bounds.recovery)
    told = list(lines(up.journals))
    history = _history(options.bounds, changer, troubles.notes, records, told, until)
    return Outcome(
        options=options,
        plan=plan,
        not_injected=impossible,
        notes=troubles.notes,
        changer=changer,
        began=began,
        history=history,
        records=records,
        findings=check(history),
        wrong=wrong,
        older=up.older,
    )


async def _befall(changer: Changer, troubles: Troubles, plan: Sequence[Trouble], seconds: float) -> None:
    """Have it all happen, for so many seconds and until all is well again."""
    end = anyio.current_time() + seconds
    async with anyio.create_task_group() as watching:
        watching.start_soon(troubles.notes.watch)
        await changer.create()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(changer.run)
            await troubles.run(plan)
            await anyio.sleep(max(end - anyio.current_time(), 0))
            changer.stop()
        watching.cancel_scope.cancel()


@asynccontextmanager
async def _running(folder: Path, options: Options) -> AsyncIterator[tuple[Site, Client, Troubles]]:
    async with site(folder, servers=options.servers, replicas=list(REPLICAS)) as up:
        troubles = Troubles(up, Notes())
        if Kind.CLOCK in options.kinds and (library := faketime()) is not None:
            file = troubles.skewed[SKEWED] = folder / "offset"
            file.write_text("+30\n")
            up.special[SKEWED] = wrong_clock(library, file)
        if options.older is not None:
            up.begin_with(options.older)
        async with anyio.create_task_group() as tasks:
            for name in REPLICAS:
                tasks.start_soon(up.start, name)
        urls, hasty = [link.url for link in up.client], {"nats__ping_interval": "2s", "nats__request_timeout": "2s"}
        async with connected(*urls, scheduler__replicas=options.servers, **hasty) as client:
            yield up, client, troubles


def _history(
    bounds: Bounds,
    changer: Changer,
    notes: Notes,
    records: Sequence[Record],
    told: Sequence[Mapping[str, Any]],
    until: datetime,
) -> History:
    bounds = _stretched(bounds, HOPS * notes.held_up)
    return History(
        changes=changer.changes,
        starts=starts_of(told, changer.changes, notes, bounds.claim),
        ends=ends_of(told, records),
        left_out=told_by(records, changer.changes).left_out,
        absences=notes.absences,
        outages=notes.outages,
        bounds=bounds,
        until=until,
    )


def _stretched(bounds: Bounds, by: timedelta) -> Bounds:
    return replace(
        bounds,
        late=bounds.late + by,
        recovery=bounds.recovery + by,
        claim=bounds.claim + by,
        finishing=bounds.finishing + by,
    )


async def _unheard(
    client: Client, changer: Changer, records: Sequence[Record], up: Site, until: datetime
) -> list[str]:
    """Find runs that were asked for by hand, and neither began nor wait nor are recorded as anything."""
    heard = {record.execution for record in records} | {line["execution"] for line in lines(up.journals)}
    removed = {change.uid for change in changer.changes if change.spec is None}
    found = []
    for asked in changer.asked:
        if asked.execution in heard or asked.execution.partition("-")[0] in removed or asked.at > until:
            continue
        document = (await client.get_job(asked.job)).document
        if asked.execution in document.status.manual and document.status.running:
            continue
        found.append(f"{asked.at}: {asked.execution} of {asked.job} was asked for, and nothing is heard of it")
    return found


def _disks(folder: Path, options: Options) -> AbstractContextManager[str | None]:
    if Kind.DISK not in options.kinds:
        return nullcontext()
    return small_disks(*(folder / f"node{index}" for index in range(options.servers)))


def _impossible(options: Options, why_no_disk: str | None) -> dict[Kind, str]:
    """Say what cannot be done here, and why."""
    found: dict[Kind, str] = {}
    if options.servers == 1:
        alone = "there is one server"
        found |= {Kind.PARTITION: alone, Kind.LEADER_KILL: alone}
    if why_no_disk is not None:
        found[Kind.DISK] = why_no_disk
    if faketime() is None:
        found[Kind.CLOCK] = "libfaketime is not installed (Debian: apt-get install faketime)"
    return {kind: why for kind, why in found.items() if kind in options.kinds}
