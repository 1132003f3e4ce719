"""Traces: whoever asked for a run goes on in it, over its attempts; recurring runs are linked to their definition."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from natsched.core.schedules import Interval, Once
from natsched.core.targets import NatsRequest
from natsched.memory.messages import Heard
from natsched.targets.context import Context
from natsched.traces import asking, carrier, running
from tests.daemon.harness import World, in_a_world

SOON = timedelta(seconds=2)
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
exported = InMemorySpanExporter()


@pytest.fixture(autouse=True)
def _sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    exported.clear()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield
    provider.shutdown()
    exported._stopped = False


def _spans(name: str) -> list[ReadableSpan]:
    return [span for span in exported.get_finished_spans() if span.name == name]


def _context(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def _attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


@in_a_world
async def test_whoever_submits_a_single_run_goes_on_in_it(world: World) -> None:
    world.handler()
    await world.start()
    with trace.get_tracer("app").start_as_current_span("order"):
        await world.client.submit_job("a", Once(world.clock.now() + SOON), handler="h")
    await world.clock.sleep(5)
    (order,), (asked,), (run,) = _spans("order"), _spans("natsched.submit_job"), _spans("run a")
    assert _parent(asked) == _context(order).span_id
    assert _parent(run) == _context(asked).span_id
    assert _context(run).trace_id == _context(order).trace_id
    assert (asked.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert not run.links
    assert _attribute(run, "natsched.job") == "a"
    assert _attribute(run, "natsched.execution") == world.calls[0].execution_id
    assert _attribute(run, "natsched.status") == "ok"


@in_a_world
async def test_recurring_runs_are_traces_of_their_own_with_a_link_to_who_defined_them(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")
    await world.client.ensure_job("a", Interval(seconds=10), handler="h")  # unchanged: it writes nothing
    await world.clock.sleep(25)
    (defined, _), runs = _spans("natsched.ensure_job"), _spans("run a")
    assert len(runs) == 2
    assert {_parent(run) for run in runs} == {None}
    assert len({_context(run).trace_id for run in (defined, *runs)}) == 3
    assert all(_linked(run) == [_context(defined).span_id] for run in runs)
    await world.client.ensure_job("a", Interval(seconds=10), handler="h", priority="high")
    await world.clock.sleep(10)
    assert _linked(_spans("run a")[-1]) == [_context(_spans("natsched.ensure_job")[-1]).span_id]


@in_a_world
async def test_a_run_by_hand_goes_on_from_who_asked_for_it(world: World) -> None:
    world.handler()
    await world.start()
    await world.client.ensure_job("a", Interval(hours=1), handler="h")
    await (await world.client.trigger_job("a"))
    (defined,), (asked,), (run,) = _spans("natsched.ensure_job"), _spans("natsched.trigger_job"), _spans("run a")
    assert _parent(run) == _context(asked).span_id
    assert _linked(run) == [_context(defined).span_id]


@pytest.mark.parametrize("schedule", ["once", "interval"])
def test_further_attempts_go_on_from_the_first(schedule: str) -> None:
    @in_a_world
    async def test(world: World) -> None:
        world.handler(fails=ValueError("broken"))
        await world.start()
        when = Once(world.clock.now() + SOON) if schedule == "once" else Interval(hours=1)
        await world.client.submit_job("a", when, handler="h", retry={"max_attempts": 3, "base": 1})
        await world.clock.sleep(3605 if schedule == "interval" else 10)
        first, second, third = _spans("run a")
        assert _parent(second) == _parent(third) == _context(first).span_id
        assert [_attribute(run, "natsched.attempt") for run in (first, second, third)] == [1, 2, 3]
        assert first.status.status_code is StatusCode.ERROR
        assert first.status.description == "ValueError: broken"

    test()


@in_a_world
async def test_a_worker_is_told_of_the_span_of_the_run(world: World) -> None:
    await world.start()
    heard: list[Mapping[str, str]] = []

    def work(request: Heard) -> None:
        heard.append(request.headers)
        world.backend.messages.publish(request.reply, b"")

    world.backend.messages.subscribe("work", work, queue="workers")
    await world.client.submit_job("a", Once(world.clock.now() + SOON), target=NatsRequest(subject="work"))
    await world.clock.sleep(5)
    (run,) = _spans("run a")
    context = _context(run)
    assert heard[0]["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


def test_without_an_sdk_a_caller_s_trace_is_passed_on_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    given = {"traceparent": GIVEN, "tracestate": "a=1"}
    with running("run", dict, given, {}) as span, asking("ask", {}):
        assert carrier() == span.carrier == given
        span.end("ok", None)
    with running("run", dict, {}, given) as span, asking("ask", {}):
        assert carrier() == span.carrier == {}
        span.end("failed", "error")
    assert exported.get_finished_spans() == ()


def test_a_state_that_is_too_long_is_not_passed_on() -> None:
    with running("run", dict, {"traceparent": GIVEN, "tracestate": f"a={'x' * 250},b={'y' * 250},c={'z' * 250}"}, {}):
        assert set(carrier()) == {"traceparent"}


@in_a_world
async def test_what_a_handler_traces_is_within_its_run(world: World) -> None:
    @world.registry.handler("h")
    async def run(ctx: Context) -> None:
        with trace.get_tracer("app").start_as_current_span("work"):
            await world.clock.sleep(1)

    await world.start()
    for job in "ab":
        await world.client.submit_job(job, Once(world.clock.now() + SOON), handler="h")
    await world.clock.sleep(5)
    runs = {_context(span).span_id for span in (*_spans("run a"), *_spans("run b"))}
    assert len(runs) == 2
    assert {_parent(span) for span in _spans("work")} == runs
