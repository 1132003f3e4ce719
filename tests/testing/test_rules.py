"""Each rule of the checker finds something that no other rule does."""

import pytest

from natsched.testing import check
from natsched.testing.checking import RULES, Rule
from tests.testing import test_definitions, test_instants, test_left_out, test_limits, test_runs

TABLES = (test_definitions, test_instants, test_left_out, test_limits, test_runs)
CASES = [case for table in TABLES for case in table.CASES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_without_it_something_is_not_found(rule: Rule) -> None:
    rest = tuple(other for other in RULES if other is not rule)
    missed = []
    for case in CASES:
        history = case.history()
        found = {(finding.kind, finding.due) for finding in check(history)}
        if found > {(finding.kind, finding.due) for finding in check(history, rest)}:
            missed.append(case.name)
    assert missed
