"""Expressions of PromQL: parsed, and their metrics and labels compared with what a replica tells."""

from collections.abc import Iterator
from typing import Any

from natsched.core.executions import ExecutionStatus
from tests.deploy.exported import exported
from tests.deploy.tools import module

OF_PROMETHEUS = frozenset({"namespace", "instance"})
"""Labels that a scrape adds."""


def check(expression: str) -> None:
    """Fail unless it is PromQL over metrics that are told, with labels that they have."""
    selectors = list(_selectors(module("promql_parser").parse(expression)))
    assert selectors, expression
    for selector in selectors:
        assert selector.name in exported(), (selector.name, expression)
        for matcher in selector.matchers.matchers:
            assert matcher.name in exported()[selector.name] | OF_PROMETHEUS, (matcher.name, expression)
            if matcher.name == "status":
                assert set(matcher.value.split("|")) <= set(ExecutionStatus), (matcher.value, expression)


def _selectors(node: Any) -> Iterator[Any]:
    """Yield the selectors of an expression, and check what is grouped by on the way."""
    promql = module("promql_parser")
    match node:
        case promql.VectorSelector():
            yield node
        case promql.MatrixSelector():
            yield node.vector_selector
        case promql.NumberLiteral() | promql.StringLiteral():
            return
        case promql.BinaryExpr():
            yield from _selectors(node.lhs)
            yield from _selectors(node.rhs)
        case promql.Call():
            for argument in node.args:
                yield from _selectors(argument)
        case promql.AggregateExpr():
            inner = list(_selectors(node.expr))
            labels = set(node.modifier.labels) if node.modifier else set()
            for selector in inner:
                missing = labels - OF_PROMETHEUS - exported().get(selector.name, frozenset())
                assert not missing, (selector.name, missing)
            yield from inner
        case promql.ParenExpr() | promql.UnaryExpr():
            yield from _selectors(node.expr)
        case _:
            raise AssertionError(f"what is {node!r}?")
