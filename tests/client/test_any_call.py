"""Whatever a client is asked for: it is done and can be worked with, or an error of ours says what is wrong."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from natsched import After, Cron, Http, Interval, NatsRequest, Once, Publish, RetryPolicy, Shell
from natsched.core.specs import OPTIONS
from natsched.errors import InvalidJob, NatschedError
from tests.daemon.harness import World, world
from tests.garbage import examples, numbers, texts, values
from tests.virtual import run_virtual

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
EAST, WEST = (timezone(timedelta(hours=hours)) for hours in (23, -23))
times = st.datetimes(timezones=st.none() | st.just(UTC)) | st.sampled_from(
    (FIRST, LAST, LAST.replace(tzinfo=None), FIRST.replace(tzinfo=EAST), LAST.replace(tzinfo=WEST))
)
lengths = st.timedeltas() | st.sampled_from((timedelta.max, timedelta.min, timedelta(0), timedelta(seconds=5)))
seconds = numbers | lengths | st.none()
ids = st.sampled_from(("a", "a", "a.b", "bad", "bad", "fixed", "x" * 200, ".".join("a" * 100), "x" * 201)) | texts
things = (
    values
    | times
    | lengths
    | st.binary(max_size=3)
    | st.sampled_from((object(), {1: 2}, "x" * 70_000, ["x" * 10**6]))
)
extreme = st.sampled_from(
    (
        Interval(seconds=5),
        Interval(seconds=5, fixed_delay=True),
        Interval(days=40_000),
        Interval(seconds=1, start_at=LAST),
        Interval(seconds=1, start_at=FIRST),
        Once(FIRST),
        Once(LAST, jitter=timedelta(days=40_000)),
        Cron("* * * * *", end_at=LAST, jitter=timedelta(days=40_000)),
        After("bad"),
    )
)
limits = st.fixed_dictionaries(
    {}, optional={"start_at": times, "end_at": times, "max_runs": numbers, "jitter": seconds}
)
made: st.SearchStrategy[Callable[[], Any]] = st.one_of(
    st.builds(partial, st.just(Cron), texts, timezone=texts | st.just("UTC")),
    st.builds(lambda period, given: partial(Interval, period, **given), lengths, limits),
    st.builds(lambda unit, number: partial(Interval, **{unit: number}), st.sampled_from(("weeks", "hours")), numbers),
    st.builds(lambda at, given: partial(Once, at, **given), times, limits),
    things.map(lambda thing: lambda: thing),
)
schedules = extreme.map(lambda schedule: lambda: schedule) | made
few = partial(st.dictionaries, texts, texts, max_size=1)
targets = st.one_of(
    st.builds(Shell, argv=st.tuples(texts), cwd=st.none() | texts, env=few(), grace=numbers),
    st.builds(Http, url=texts | st.sampled_from(("https://h/", "http://[")), headers=few(), body=values),
    st.builds(NatsRequest, subject=texts | st.just("w"), heartbeat=seconds),
    st.builds(Publish, subject=texts | st.just("w"), body=values, headers=few()),
)
retries = st.builds(RetryPolicy, base=numbers, max_attempts=numbers, retry_on=st.tuples(texts))
of_option = {"target": targets, "retry": retries, "timeout": seconds, "deadline": seconds, "tolerance": seconds}
options = st.sampled_from((*OPTIONS, "colour")).flatmap(
    lambda name: st.dictionaries(st.just(name), of_option.get(name, things) | things, max_size=1)
)


@examples(130)
@given(ids, schedules, options)
@example("a", lambda: Interval(timedelta.max), {})
@example("a", lambda: Interval(seconds=5), {"target": Http(url="https://host/", body="\ud800")})
@example("a", lambda: Interval(seconds=5), {"target": Publish(subject="w", body=float("nan"))})
def test_any_job_is_taken_and_can_be_worked_with_or_refused(
    job: str, schedule: Callable[[], Any], options: dict[str, Any]
) -> None:
    async def use(one: World) -> None:
        client = one.client
        await client.ensure_job(job, schedule(), **options)
        replica = await one.start()
        await one.clock.sleep(12)
        replica.kill()
        await client.get_job(job)
        assert await client.ensure_job(job, schedule(), **options) == "unchanged"
        await client.executions(job)
        await client.pause_job(job)
        await client.resume_job(job)
        await client.remove_job(job)

    _refused_or(use)


@examples(100)
@given(st.data())
def test_any_other_call_is_answered_or_refused(data: st.DataObject) -> None:
    async def use(one: World) -> None:
        await one.start()
        client, draw = one.client, data.draw
        calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "submit": lambda: client.submit_job(
                draw(ids), Interval(seconds=5), unique_key=draw(texts), unique_for=draw(lengths)
            ),
            "ensure many": lambda: client.ensure_jobs([{draw(texts): draw(things), "id": draw(ids | things)}]),
            "pause": lambda: client.pause_job(draw(ids), until=draw(times), reason=draw(texts)),
            "trigger": lambda: client.trigger_job(draw(ids), cast("Any", draw(things))),
            "backfill": lambda: client.backfill_job(draw(ids), draw(times), draw(times)),
            "list": lambda: client.list_jobs(draw(ids), limit=draw(sizes), after=draw(texts | cursors)),
            "executions": lambda: client.executions(
                draw(ids), draw(texts), limit=draw(sizes), status=[draw(texts)], since=draw(times)
            ),
            "missed": lambda: client.executions(limit=draw(sizes), missed=True, since=draw(times)),
            "cancel": lambda: client.cancel_execution(draw(ids), draw(texts), reason=draw(texts)),
            "pause execution": lambda: client.pause_execution(draw(ids), draw(texts)),
            "retry": lambda: client.retry_execution(draw(ids), draw(texts)),
            "wait": lambda: client.execution(draw(ids), draw(texts)).wait(1),
            "remove": lambda: client.remove_job(draw(ids)),
        }
        await calls[draw(st.sampled_from(sorted(calls)))]()
        await one.clock.sleep(7)
        assert len((await client.list_jobs()).jobs) >= 1

    _refused_or(use)


sizes = st.sampled_from((-1, 0, 1, 10**6, 10**30))
cursors = st.sampled_from(("0", "²", "9" * 30, "9" * 5000))


def _refused_or(use: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Use a world with a job of each of two kinds; an error of ours is as good, if it says what is wrong."""

    async def run() -> None:
        async with world() as one:
            one.handler()
            await one.client.ensure_job("bad", Interval(seconds=5), handler="h")
            await one.client.ensure_job("fixed", Interval(seconds=5, fixed_delay=True), handler="h")
            try:
                await use(one)
            except (NatschedError, TimeoutError) as error:
                refusals.append(error)

    refusals: list[Exception] = []
    run_virtual(run)
    for error in refusals:
        assert str(error) or isinstance(error, TimeoutError)
        assert not isinstance(error, InvalidJob) or error.field
