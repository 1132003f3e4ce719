"""What handlers log: bound to their execution, kept with its record, the newest of it, and nobody else's."""

import logging
import threading
from datetime import timedelta
from typing import Any

import anyio
import pytest
import structlog

from natsched import keep_log_lines
from natsched.core.documents import encode_record
from natsched.core.executions import ExecutionStatus, Line, Record
from natsched.core.schedules import Once
from natsched.daemon.options import ReplicaOptions
from natsched.logs import get_logger
from natsched.targets.calling import Caller
from natsched.targets.context import Context
from natsched.targets.hooks import HookEvent
from natsched.targets.lines import LineKeeper
from tests.daemon.harness import World, in_a_world
from tests.factories import NOON

SOON = timedelta(seconds=2)
app = logging.getLogger("app")
app.setLevel(logging.INFO)


async def _records(world: World, *jobs: str, **options: Any) -> dict[str, Record]:
    """Run each job once and return their records, by job."""
    await world.start()
    for job in jobs:
        await world.client.submit_job(job, Once(world.clock.now() + SOON), handler="h", **options)
    await world.clock.sleep(5)
    return {record.job: record for record in await world.client.executions()}


def _lines(record: Record) -> tuple[Line, ...]:
    return record.logs.lines if record.logs else ()


def _texts(record: Record) -> list[str]:
    return [line.text for line in _lines(record)]


@in_a_world
async def test_lines_of_runs_at_the_same_time_are_kept_apart(world: World) -> None:
    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        app.info("%s begins", ctx.job_id)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_a_task, ctx)
        app.debug("not at this level")

    async def in_a_task(ctx: Context) -> None:
        await world.clock.sleep(0.5)
        get_logger("app").warning("a sentence", job=ctx.job_id, number=3, when=ctx.due)

    app.info("of no run")
    records = await _records(world, "a", "b")
    for job, record in records.items():
        first, second = _lines(record)
        assert (first.level, first.text, first.logger, first.fields) == ("info", f"{job} begins", "app", {})
        assert (second.level, second.text) == ("warning", "a sentence")
        assert second.fields == {"job": job, "number": 3, "when": str(record.due)}
        assert second.at - first.at == timedelta(seconds=0.5)


@in_a_world
async def test_a_run_that_logs_nothing_has_no_logs(world: World) -> None:
    world.handler()
    records = await _records(world, "a")
    assert records["a"].logs is None


@in_a_world
async def test_hooks_are_heard_and_so_is_a_handler_that_fails(world: World) -> None:
    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        try:
            raise KeyError("name")
        except KeyError:
            app.exception("it failed")
            structlog.wrap_logger(app, processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter]).error(
                "again", exc_info=True, level="error", tries=2
            )
            raise

    @world.registry.hook("on_error")
    async def told(event: HookEvent) -> None:
        app.error("%s", event.error)

    records = await _records(world, "a", retry={"max_attempts": 2, "base": 0})
    records = {str(one.attempt): one for one in await world.client.executions("a")}
    assert [records[number].status for number in "12"] == [ExecutionStatus.RETRYING, ExecutionStatus.DEAD]
    for record in records.values():
        assert _texts(record) == ["it failed", "again", "KeyError: 'name'"]
        assert all("KeyError: 'name'" in str(line.fields["exception"]) for line in _lines(record)[:2])
        assert _lines(record)[1].fields["tries"] == 2


@in_a_world
async def test_a_run_that_is_cancelled_keeps_its_lines(world: World) -> None:
    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        app.info("begins")
        await world.clock.sleep(60)

    await world.start()
    await world.client.submit_job("a", Once(world.clock.now() + SOON), handler="h")
    await world.clock.sleep(4)
    (running,) = await world.client.executions("a")
    await world.client.cancel_execution("a", running.execution)
    await world.clock.sleep(1)
    (record,) = await world.client.executions("a")
    assert record.status is ExecutionStatus.CANCELLED
    assert _texts(record) == ["begins"]


@in_a_world
async def test_of_too_many_lines_the_newest_are_kept(world: World) -> None:
    world.options = ReplicaOptions(name="r", log_limit=4000)

    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        for number in range(1000):
            app.info("line %s", number)

    record = (await _records(world, "a"))["a"]
    assert record.logs is not None
    numbers = [int(text.split()[1]) for text in _texts(record)]
    assert numbers == list(range(record.logs.cut, 1000))
    assert 10 < len(numbers) < 60
    assert len(encode_record(record)) < 4000 + 600


@in_a_world
async def test_no_line_is_kept_where_none_is_wanted(world: World) -> None:
    world.options = ReplicaOptions(name="r", log_limit=0)

    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        app.info("line")

    assert (await _records(world, "a"))["a"].logs is None


@in_a_world
async def test_what_cannot_be_stored_is_logged_all_the_same(world: World) -> None:
    circle: list[object] = []
    circle.append(circle)

    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        get_logger("app").info("odd", circle=circle, number=float("nan"), pairs={(1, 2): 3}, thing=object)
        get_logger("app").info("odd", number=float("nan"), pairs={(1, 2): 3}, thing=object)
        app.info("x" * 100_000)

    circular, odd, long = _lines((await _records(world, "a"))["a"])
    assert "[...]" in str(circular.fields["fields"])
    assert odd.fields == {"number": None, "pairs": {}, "thing": "<class 'object'>"}
    assert len(long.text) == 8192


def test_half_a_character_is_no_text_to_store() -> None:
    lines = LineKeeper(lambda: NOON, limit=64_000).open(_context())
    lines.add("info", "\ud800 half", None, {"\ud800": "\ud800"})
    (line,) = lines.kept().lines
    assert (line.text, line.fields) == ("? half", {"?": "?"})


def _context() -> Context:
    return Context(job_id="a", execution_id="A-1", due=NOON, started_at=NOON, attempt=2, metadata={}, payload=None)


def test_threads_and_structlog_of_its_own_are_heard_and_lines_are_bound() -> None:
    bound: list[dict[str, Any]] = []
    own = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            keep_log_lines,
            drop,
        ],
    )
    keeper = LineKeeper(lambda: NOON, limit=64_000)

    def handler(ctx: Context) -> None:
        app.info("in %s", threading.current_thread() is threading.main_thread())
        own.info("printed", number=1)
        bound.append(structlog.contextvars.get_contextvars())

    async def run() -> None:
        with keeper.listening(), LineKeeper(lambda: NOON, limit=64_000).listening(), keeper.open(_context()) as lines:
            ended = await Caller(threads=1).call(handler, _context(), timeout=None)
        assert ended.status is ExecutionStatus.OK
        assert [line.text for line in lines.kept().lines] == ["in False", "printed"]
        assert lines.kept().lines[1].fields["number"] == 1

    anyio.run(run)
    assert bound == [{"job": "a", "execution": "A-1", "attempt": 2, "due": NOON.isoformat()}]
    assert structlog.contextvars.get_contextvars() == {}


def drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


def test_a_program_that_has_set_up_no_logging_hears_its_warnings_still(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        with LineKeeper(lambda: NOON, limit=64_000).listening(), LineKeeper(lambda: NOON, limit=64_000).listening():
            app.warning("once")
            app.info("never")
        assert root.handlers == []
    finally:
        root.handlers = handlers
    assert capsys.readouterr().err == "once\n"
