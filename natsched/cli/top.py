"""`natsched top`: the whole scheduler on one screen, as it is now."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import typer

from natsched.cli.asking import ask
from natsched.cli.flags import Where
from natsched.cli.output import Output, console
from natsched.client.client import Client
from natsched.client.forms import backlog_form, record_form, replica_form
from natsched.clock import SystemClock
from natsched.core.executions import FAILED_FOR_GOOD, ExecutionStatus, Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from natsched.client.views import JobView
    from natsched.core.backlog import Backlog
    from natsched.protocol.leases import Living

MINUTE: Final = timedelta(minutes=1)
_KEPT: Final = 100_000
_SHOWN: Final = 12
_PATIENCE: Final = 10
"""How much longer than a look at all jobs took it is until the next one."""


@dataclass(slots=True)
class Picture:
    """What is shown: who is at work, what waits, what runs, and what ended in the last minute.

    `jobs` is None until they were counted.
    """

    now: datetime
    replicas: "Sequence[Living]" = ()
    backlog: "Mapping[str, Backlog]" = field(default_factory=dict)
    jobs: int | None = None
    states: dict[str, int] = field(default_factory=dict)
    running: list[Record] = field(default_factory=list)
    ended: deque[Record] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def last_minute(self) -> list[Record]:
        """Return what ended within it, the newest last."""
        while self.ended and (self.ended[0].ended_at or self.now) < self.now - MINUTE:
            self.ended.popleft()
        return list(self.ended)

    def form(self) -> dict[str, object]:
        """Return it as JSON has it."""
        recent = self.last_minute()
        return {
            "replicas": [replica_form(one) for one in self.replicas],
            "queues": {name: backlog_form(one) for name, one in self.backlog.items()},
            "jobs": {"total": self.jobs, **self.states},
            "running": [record_form(one) for one in self.running],
            "last_minute": counts(recent),
        }


def counts(recent: "Sequence[Record]") -> dict[str, int]:
    """Return how many records are of runs, of failures, and of runs that did not happen."""
    runs = [one for one in recent if not one.did_not_run and one.status is not ExecutionStatus.RUNNING]
    return {
        "runs": len(runs),
        "failed": sum(one.status in FAILED_FOR_GOOD for one in runs),
        "left_out": sum(one.number for one in recent if one.did_not_run),
    }


def top(
    where: Where,
    once: Annotated[bool, typer.Option("--once", help="Show it once and leave, as without a terminal.")] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.2, max=3600, help="How often it is looked at.")
    ] = 1.0,
) -> None:
    """Show who is at work, what waits, what runs and what ended, again and again; Ctrl-C leaves."""
    output = Output(json=where.json)
    terminal = console()
    if once or output.json or not terminal.is_terminal:
        picture = ask(where, _once)
        if output.json:
            output.value(picture.form())
        else:
            from natsched.cli.picturing import drawn

            terminal.print(drawn(picture, terminal.width))
        return

    async def show(client: Client) -> None:
        from rich.live import Live

        from natsched.cli.picturing import drawn

        with Live(console=terminal, screen=True, auto_refresh=False) as live:

            async def draw(picture: Picture) -> None:
                live.update(drawn(picture, terminal.width), refresh=True)
                await anyio.sleep(every)

            await _follow(client, draw)

    try:
        ask(where, show)
    except KeyboardInterrupt:
        return


async def _once(client: Client) -> Picture:
    picture = await _begin(client)
    await _look_at_jobs(client, picture)
    return picture


async def _begin(client: Client) -> Picture:
    """Return what is there at once, however many jobs there are."""
    picture = Picture(now=SystemClock().now())
    await _look(client, picture)
    picture.ended.extend(reversed(await client.executions(since=picture.now - MINUTE, limit=1000)))
    return picture


async def _follow(client: Client, draw: Callable[[Picture], Awaitable[None]]) -> None:
    """Draw the picture again and again, while the ends are followed."""
    picture, clock = await _begin(client), SystemClock()

    async def follow() -> None:
        async with client.watch() as records:
            async for record in records:
                picture.ended.append(record)

    async def look() -> None:
        while True:
            began = clock.monotonic()
            await _look_at_jobs(client, picture)
            await anyio.sleep(max(1.0, _PATIENCE * (clock.monotonic() - began)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, name="follow the ends")
        tasks.start_soon(look, name="look at the jobs")
        while True:
            picture.now = clock.now()
            await _look(client, picture)
            await draw(picture)


async def _look(client: Client, picture: Picture) -> None:
    picture.replicas = await client.replicas()
    picture.backlog = await client.backlog()


async def _look_at_jobs(client: Client, picture: Picture) -> None:
    """Go through all jobs for what runs; the check-ins of the first few are read, too."""
    number, states, busy = 0, dict[str, int](), list["JobView"]()
    async for view in client.iter_jobs():
        number += 1
        states[view.state] = states.get(view.state, 0) + 1
        if view.running and len(busy) < _SHOWN:
            busy.append(view)
    running: list[Record] = []
    for view in busy:
        of_job = await client.executions(view.id, limit=len(view.running))
        running += [record for record in of_job if record.status is ExecutionStatus.RUNNING]
    picture.jobs, picture.states, picture.running = number, states, running[:_SHOWN]
