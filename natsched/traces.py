"""Traces, through OpenTelemetry's API alone: without an SDK nothing is recorded, but what a caller gave is passed on.

A carrier is what W3C headers say of a span, `traceparent` and perhaps `tracestate`; an empty one says nothing. It is
what is stored of whoever asks for a run, who may be long gone when the run begins.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from importlib.metadata import version
from typing import Final, TypeAlias

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import (
    Link,
    NoOpTracerProvider,
    ProxyTracerProvider,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Carrier: TypeAlias = Mapping[str, str]
Attributes: TypeAlias = Mapping[str, str | int | bool]

_W3C: Final = TraceContextTextMapPropagator()
_MOST: Final = 512
"""Characters of a trace's state that are passed on, as W3C asks for."""


def carrier() -> Carrier:
    """Return what there is to pass on of the current span."""
    if not trace.get_current_span().get_span_context().is_valid:
        return {}
    found: dict[str, str] = {}
    _W3C.inject(found)
    return {name: value for name, value in found.items() if len(value) <= _MOST}


def asking(name: str, attributes: Attributes) -> AbstractContextManager[object]:
    """Ask the scheduler for something, in a span."""
    provider = trace.get_tracer_provider()
    if _is_silent(provider):
        return _NOTHING
    return _tracer(provider).start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes)


@contextmanager
def continued(headers: Carrier) -> Generator[None, None, None]:
    """Do what was asked for by headers, as a part of the trace that they tell of, if they do."""
    given = {name: value for name in _W3C.fields if (value := headers.get(name))}
    if not given:
        yield
        return
    token = contexts.attach(_W3C.extract(given))
    try:
        yield
    finally:
        contexts.detach(token)


class RunSpan:
    """What a run says of itself in its span; `carrier` is for those who go on from it."""

    def __init__(self, span: trace.Span, carrier: Carrier) -> None:
        self._span = span
        self.carrier = carrier

    def end(self, status: str, error: str | None) -> None:
        """Say how the run ended."""
        if self._span.is_recording():
            self._span.set_attribute("natsched.status", status)
            if error is not None:
                self._span.set_status(StatusCode.ERROR, error)


_NOTHING: Final = nullcontext(RunSpan(trace.INVALID_SPAN, {}))


def running(
    name: str, attributes: Callable[[], Attributes], parent: Carrier, link: Carrier
) -> AbstractContextManager[RunSpan]:
    """Run in a span that goes on from `parent`, or else begins a trace; `link` is what it has to do with besides."""
    provider = trace.get_tracer_provider()
    if not _is_silent(provider):
        return _recorded(_tracer(provider), name, attributes(), parent, link)
    return _passed_on(parent) if parent else _NOTHING


@contextmanager
def _recorded(
    tracer: Tracer, name: str, attributes: Attributes, parent: Carrier, link: Carrier
) -> Generator[RunSpan, None, None]:
    linked = trace.get_current_span(_W3C.extract(link, contexts.Context())).get_span_context()
    links = [Link(linked)] if linked.is_valid and link != parent else []
    before = _W3C.extract(parent, contexts.Context())
    span = tracer.start_span(name, before, kind=SpanKind.CONSUMER, attributes=attributes, links=links)
    with trace.use_span(span, end_on_exit=True):
        yield RunSpan(span, carrier())


@contextmanager
def _passed_on(parent: Carrier) -> Generator[RunSpan, None, None]:
    span = trace.get_current_span(_W3C.extract(parent, contexts.Context()))
    with trace.use_span(span):
        yield RunSpan(span, carrier())


def _is_silent(provider: TracerProvider) -> bool:
    return isinstance(provider, ProxyTracerProvider | NoOpTracerProvider)


@lru_cache(maxsize=1)
def _tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("natsched", version("natsched"))
