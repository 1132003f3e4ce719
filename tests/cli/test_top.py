"""What `natsched top` counts and draws."""

from datetime import timedelta

import anyio
import pytest
from rich.console import Console

from natsched.cli import top
from natsched.cli.picturing import drawn
from natsched.cli.top import Picture
from natsched.core.backlog import Backlog
from natsched.core.executions import CheckIn, ExecutionStatus
from natsched.core.jobs import ExecutionId, LeaseId
from natsched.protocol.leases import Living
from tests.cli.running import Cli
from tests.daemon.harness import World, in_a_world
from tests.factories import NOON, make_record

S = ExecutionStatus


@pytest.fixture
def picture() -> Picture:
    picture = Picture(now=NOON)
    replica = Living(
        lease=LeaseId("lease.r1.X"),
        name="r1",
        is_primary=True,
        queues={"default": 10},
        running={"default": 3},
        natsched="0.1.0",
        tzdata=None,
    )
    picture.replicas = [replica]
    picture.backlog = {"slow": Backlog(number=7, oldest=90.0)}
    picture.jobs, picture.states = 5, {"active": 4, "paused": 1}
    for seconds, status in ((120, S.OK), (50, S.OK), (40, S.DEAD), (30, S.MISSED)):
        at = NOON - timedelta(seconds=seconds)
        began = None if status is S.MISSED else at
        picture.ended.append(make_record("a.b", status=status, due=at, started_at=began, ended_at=at, number=1))
    said = CheckIn(text="42 %", at=NOON)
    picture.running = [make_record("import", status=S.RUNNING, due=NOON - timedelta(seconds=5), check_in=said)]
    return picture


def test_the_last_minute_is_what_ended_within_it(picture: Picture) -> None:
    assert picture.form()["last_minute"] == {"runs": 2, "failed": 1, "left_out": 1}


def test_the_screen_says_who_works_what_waits_and_what_runs(picture: Picture) -> None:
    console = Console(width=120, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        console.print(drawn(picture, 120))
    text = captured.get()
    for words in ("5 jobs (4 active, 1 paused)", "default 3/10", "slow    7", "90.00 s", "42 %", "1 failed", "dead"):
        assert words in text, text


def test_on_a_narrow_screen_ids_of_executions_and_reasons_give_way(picture: Picture) -> None:
    job, reason = "billing.invoices.monthly", "the run before it has not ended"
    picture.running = [make_record(job, status=S.RUNNING, execution=ExecutionId(f"{'0' * 26}-m{'1' * 26}"))]
    at = NOON - timedelta(seconds=1)
    picture.ended.append(make_record(job, status=S.SUPERSEDED, due=at, ended_at=at, reason=reason))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(drawn(picture, 80))
    lines = [line for line in captured.get().splitlines() if job in line]
    assert len(lines) == 2, captured.get()
    assert "superseded" in lines[1]
    assert all("…" in line for line in lines)


@in_a_world
async def test_the_screen_is_there_before_all_jobs_are_counted(world: World) -> None:
    async def count(*_: object) -> None:
        await anyio.sleep_forever()

    async def draw(shown: Picture) -> None:
        assert shown.jobs is None
        scope.cancel()

    with pytest.MonkeyPatch.context() as patched, anyio.CancelScope() as scope, anyio.fail_after(5):
        patched.setattr(top, "_look_at_jobs", count)
        await top._follow(world.client, draw)
    assert scope.cancelled_caught


def test_nobody_up_is_said(picture: Picture) -> None:
    picture.replicas = []
    console = Console(width=80)
    with console.capture() as captured:
        console.print(drawn(picture, 80))
    assert "none is up: nothing runs" in captured.get()


@pytest.mark.usefixtures("stored")
def test_without_a_terminal_it_is_shown_once(cli: Cli) -> None:
    cli.ok("job", "ensure", "a", "--every", "1h")
    assert "1 jobs (1 active)" in cli.ok("top").out
    assert cli.json("top")["jobs"] == {"total": 1, "active": 1}
