"""`deploy/grafana/natsched.json`: as Grafana reads it, over metrics that are there."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.deploy.expressions import check
from tests.deploy.roles import DEPLOY
from tests.deploy.tools import module

FILE = DEPLOY / "grafana" / "natsched.json"
VARIABLE = re.compile(r"\$__\w+")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _dashboard() -> Any:
    return json.loads(FILE.read_text())


def _panels() -> Iterator[Any]:
    return (panel for panel in _dashboard()["panels"] if panel["type"] != "row")


def test_grafana_s_own_library_reads_all_of_it() -> None:
    """Grafana writes its libraries from its schema: what they do not know they leave out."""
    models = module("grafana_foundation_sdk.models.dashboard")
    cog = module("grafana_foundation_sdk.cog.encoder")
    module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    read = json.loads(cog.JSONEncoder().encode(models.Dashboard.from_json(_dashboard())))
    assert _lost(_dashboard(), read) == []


def _lost(given: Any, read: Any, path: str = "") -> list[str]:
    """Return where what was read lacks something of what was given."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [one for key in given for one in _lost(given[key], read.get(key), f"{path}.{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        pairs = enumerate(zip(given, read, strict=True))
        return [one for number, pair in pairs for one in _lost(*pair, f"{path}[{number}]")]
    return [] if given == read else [path]


def test_each_panel_has_a_source_a_unit_and_expressions_over_metrics_that_are_told() -> None:
    for panel in _panels():
        assert panel["datasource"] == SOURCE
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE
            check(VARIABLE.sub("5m", target["expr"]))


def test_each_panel_has_a_place_and_a_number_of_its_own() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_it_shows_what_there_is_to_watch() -> None:
    text = FILE.read_text()
    for name in ("run_lag_seconds", "runs_total", "queue_depth", "queue_oldest_seconds", "held", "repairs_total"):
        assert f"natsched_{name}" in text
    for name in ("clock_offset_seconds", "nats_reconnects_total", "serving", "runs_left_out_total", "waiting"):
        assert f"natsched_{name}" in text
