"""`deploy/prometheus/alerts.yaml`: what promtool says, over metrics that are told, each with a page for its night."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cli.running import CHECKOUT
from tests.deploy.expressions import check
from tests.deploy.roles import DEPLOY
from tests.deploy.tools import module, run

FOLDER = DEPLOY / "prometheus"
PAGE = CHECKOUT / "docs" / "operating.md"


def _rules() -> Iterator[Any]:
    for group in module("yaml").safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        yield from group["rules"]


def test_promtool_takes_them() -> None:
    ran = run("promtool", "check", "rules", "alerts.yaml", folder=FOLDER)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_they_fire_when_they_are_to_and_not_else() -> None:
    ran = run("promtool", "test", "rules", "alerts.test.yaml", folder=FOLDER)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_is_tested_to_fire_and_not_to() -> None:
    tests = module("yaml").safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    cases = [(one["alertname"], bool(one["exp_alerts"])) for test in tests for one in test["alert_rule_test"]]
    for rule in _rules():
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(cases)


def test_each_is_over_metrics_that_are_told() -> None:
    for rule in _rules():
        check(rule["expr"])


def test_each_has_a_page_and_each_page_is_of_one() -> None:
    pages = re.findall(r"^### (Natsched\w+)$", PAGE.read_text(), re.MULTILINE)
    assert pages == [rule["alert"] for rule in _rules()]
    for rule in _rules():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_promtool_takes_the_configuration_that_loads_them(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    text = (FOLDER / "prometheus.yaml").read_text()
    (tmp_path / "alerts.yaml").write_text((FOLDER / "alerts.yaml").read_text())
    for name, variant in (("as_it_stands", text), ("uncommented", re.sub(r"#(?=\S| {2}- )", "", text))):
        file = tmp_path / f"{name}.yaml"
        file.write_text(variant.replace("/run/secrets/natsched_http_token", str(token)))
        ran = run("promtool", "check", "config", file, folder=tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
